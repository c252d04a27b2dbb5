import { appendFileSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { PassThrough, type Readable } from 'node:stream'
import { acceptedContent, inputRequired, McpServer } from '@modelcontextprotocol/server'
import { serveStdio, StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import * as z from 'zod'

/*
 * A program that tells which process it is, keeps what it is told, and asks. Its arguments: whether it serves earlier
 * revisions or rejects them; and, if some of its processes are slow, a file that each adds a line to, and how many are.
 */
const [legacy, starts, slow] = process.argv.slice(2)
if (legacy !== 'serve' && legacy !== 'reject') throw new Error('whether earlier revisions are served')
const notes: string[] = []
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

/** What comes in; of a slow process nothing, until `initialize` has come. */
function findInput (): Readable {
  if (starts === undefined) return process.stdin
  appendFileSync(starts, `${process.pid}\n`)
  if (readFileSync(starts, 'utf8').trim().split('\n').length > Number(slow)) return process.stdin
  const input = new PassThrough()
  let unread = ''
  process.stdin.setEncoding('utf8').on('data', (text: string) => {
    unread += text
    if (!unread.includes('"initialize"')) return
    process.stdin.removeAllListeners('data')
    input.write(unread)
    process.stdin.pipe(input)
  }).on('end', () => { input.end() })
  return input
}

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
}, { legacy, transport: new StdioServerTransport(findInput()) })
