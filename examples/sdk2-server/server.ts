import {
  acceptedContent,
  inputRequired,
  inputResponse,
  McpServer,
  ResourceTemplate
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import { constantSchema, type CreateServer } from 'fastify-mcp-oauth'
import * as z from 'zod'

/*
 * A server of notes: each person sees their own. One board is for everybody.
 * A server is made for every session, and for every request of revision 2026-07-28. So state is kept outside of it, and
 * what does not depend on the caller is built once.
 */
const notes = new Map<string, string[]>()
const board = { text: 'Nothing new.' }
const BOARD = 'board://today'

const jsonSchemaValidator = new AjvJsonSchemaValidator()
const textInput = constantSchema(z.object({ text: z.string().min(1).describe('What to remember') }))
const changeInput = constantSchema(z.object({ number: z.number().int().min(1), text: z.string().min(1) }))
const noInput = constantSchema(z.object({}))
const noteOutput = constantSchema(z.object({ number: z.number().int().describe('Of the note'), text: z.string() }))
const confirmation = z.object({ sure: z.boolean().describe('Delete them for good?') })

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
// a result with an output schema also has its text, for clients that read only that
const structured = (value: Record<string, unknown>) => ({ ...text(JSON.stringify(value)), structuredContent: value })
const writes = { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false }

export const createServer: CreateServer = ({ authInfo, log, announce }) => {
  // one session has one owner: an issuer, and whom it names
  const owner = JSON.stringify([authInfo.extra.issuer, authInfo.extra.subject])
  const own = () => notes.get(owner) ?? []
  const server = new McpServer({ name: 'notes', version: '1.0.0' }, {
    jsonSchemaValidator,
    capabilities: { resources: { subscribe: true, listChanged: true } }
  })

  server.registerTool('add_note', {
    title: 'Add a note',
    inputSchema: textInput,
    outputSchema: noteOutput,
    annotations: writes
  }, ({ text }) => {
    notes.set(owner, [...own(), text])
    log.info({ notes: own().length }, 'a note was added')
    server.sendResourceListChanged()
    return structured({ number: own().length, text })
  })

  server.registerTool('change_note', {
    title: 'Change a note',
    inputSchema: changeInput,
    annotations: { ...writes, destructiveHint: true, idempotentHint: true }
  }, async ({ number, text: changed }) => {
    if (number > own().length) return { ...text('There is no such note.'), isError: true }
    notes.set(owner, own().with(number - 1, changed))
    // reaches this person's clients that have subscribed to the note, and nobody else's
    await server.server.sendResourceUpdated({ uri: `note://${number}` })
    return text('It is changed.')
  })

  server.registerTool('delete_notes', {
    title: 'Delete all notes',
    inputSchema: noInput,
    annotations: { ...writes, destructiveHint: true, idempotentHint: true }
  }, (_input, { mcpReq: { inputResponses } }) => {
    // the tool runs from its beginning each time: first without a response, then with it
    if (inputResponse(inputResponses, 'confirm').kind === 'missing') {
      const message = `Delete ${own().length} notes?`
      return inputRequired({
        inputRequests: { confirm: inputRequired.elicit({ message, requestedSchema: confirmation }) }
      })
    }
    // undefined if the person declined, and if the client sent something else
    if (acceptedContent(inputResponses, 'confirm', confirmation)?.sure !== true) return text('They are kept.')
    notes.delete(owner)
    server.sendResourceListChanged()
    return text('They are deleted.')
  })

  server.registerTool('write_on_board', {
    title: 'Write on the board',
    description: 'Everybody can read it.',
    inputSchema: textInput,
    annotations: { ...writes, destructiveHint: true, idempotentHint: true }
  }, ({ text: written }) => {
    board.text = written
    // reaches everyone who has subscribed to it, on every replica
    announce({ kind: 'resource_updated', uri: BOARD })
    return text('Everybody can read it.')
  })

  const template = new ResourceTemplate('note://{number}', {
    list: () => ({ resources: own().map((text, index) => ({ uri: `note://${index + 1}`, name: text.slice(0, 40) })) })
  })
  server.registerResource('note', template, { title: 'Note', mimeType: 'text/plain' }, (uri, { number }) => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: own()[Number(number) - 1] ?? 'There is no such note.' }]
  }))
  server.registerResource('board', BOARD, { title: 'The board', mimeType: 'text/plain' }, uri => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: board.text }]
  }))
  // who subscribes to what is remembered by the service
  server.server.setRequestHandler('resources/subscribe', () => ({}))
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
  return server
}
