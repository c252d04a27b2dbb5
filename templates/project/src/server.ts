import { McpServer } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import { constantSchema, type CreateServer } from 'fastify-mcp-oauth'
import * as z from 'zod'

/*
 * Your MCP server: each person has their own notes.
 * A server is made for every session, and for every request of revision 2026-07-28. So keep state outside of
 * createServer (if you run several replicas, in a database), and build once what does not depend on the caller.
 */
const notes = new Map<string, string[]>()
const jsonSchemaValidator = new AjvJsonSchemaValidator()
const noInput = constantSchema(z.object({}))
const noteInput = constantSchema(z.object({ text: z.string().min(1).describe('What to remember') }))
const notesOutput = constantSchema(z.object({ notes: z.array(z.string()) }))

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

export const createServer: CreateServer = ({ authInfo, log }) => {
  const owner = JSON.stringify([authInfo.extra.issuer, authInfo.extra.subject])
  const own = () => notes.get(owner) ?? []
  const server = new McpServer({ name: 'notes', version: '0.1.0' }, { jsonSchemaValidator })

  server.registerTool('who_am_i', {
    title: 'Who am I',
    description: 'What the login server says about you.',
    inputSchema: noInput,
    annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }
  }, (_input, { http }) => text(JSON.stringify(http?.authInfo?.extra?.claims ?? {})))

  server.registerTool('add_note', {
    title: 'Add a note',
    description: 'Keeps a note for you.',
    inputSchema: noteInput,
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false }
  }, ({ text: note }) => {
    notes.set(owner, [...own(), note])
    log.info({ notes: own().length }, 'a note was added')
    return text(`Note ${own().length} is kept.`)
  })

  server.registerTool('list_notes', {
    title: 'List notes',
    description: 'Returns your notes.',
    inputSchema: noInput,
    outputSchema: notesOutput,
    annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }
  }, () => ({ ...text(own().join('\n')), structuredContent: { notes: own() } }))

  return server
}
