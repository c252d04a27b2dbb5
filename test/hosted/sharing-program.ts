import process from 'node:process'
import { acceptedContent, inputRequired, McpServer } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import * as z from 'zod'

/*
 * A program of both eras that tells which process it is, keeps what it is told, and asks.
 */
const notes: string[] = []
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

serveStdio(() => {
  const server = new McpServer({ name: 'sharing', version: '1' })
  server.registerTool('note', { inputSchema: z.object({ note: z.string() }) }, ({ note }) => {
    notes.push(note)
    return text(JSON.stringify({ pid: process.pid, notes }))
  })
  server.registerTool('ask', {}, ({ mcpReq: { inputResponses, requestState } }) => {
    const answer = acceptedContent(inputResponses, 'colour', z.object({ colour: z.string() }))
    return answer === undefined
      ? inputRequired({
        inputRequests: {
          colour: inputRequired.elicit({
            message: 'Which?',
            requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } }
          })
        },
        requestState: 'asked'
      })
      : text(`${answer.colour}, ${requestState<string>() ?? 'not asked'}`)
  })
  return server
}, { legacy: 'serve' })
