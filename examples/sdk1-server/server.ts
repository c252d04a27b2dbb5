import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import type { CreateServer } from 'fastify-mcp-oauth'
import * as z from 'zod'

/*
 * A server of notes: each person sees their own.
 * An instance serves one session, and may be dropped when it is idle. So state is kept outside of it, and what does not
 * depend on the session is built once.
 */
const notes = new Map<string, string[]>()
const jsonSchemaValidator = new AjvJsonSchemaValidator()
const noteSchema = { text: z.string().min(1).describe('What to remember') }

export const createServer: CreateServer = ({ authInfo, log }) => {
  // one session has one owner: an issuer, and whom it names
  const { issuer, subject } = authInfo.extra
  const owner = JSON.stringify([issuer, subject])
  const own = () => notes.get(owner) ?? []
  const server = new McpServer({ name: 'notes', version: '1.0.0' }, { jsonSchemaValidator })

  server.registerTool('add_note', {
    title: 'Add a note',
    inputSchema: noteSchema,
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false }
  }, ({ text }) => {
    notes.set(owner, [...own(), text])
    log.info({ notes: own().length }, 'a note was added')
    server.sendResourceListChanged()
    return { content: [{ type: 'text', text: `Note ${own().length} is kept.` }] }
  })

  const template = new ResourceTemplate('note://{number}', {
    list: () => ({ resources: own().map((text, index) => ({ uri: `note://${index + 1}`, name: text.slice(0, 40) })) })
  })
  server.registerResource('note', template, { title: 'Note', mimeType: 'text/plain' }, (uri, { number }) => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: own()[Number(number) - 1] ?? 'There is no such note.' }]
  }))
  return server
}
