import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import {
  CallToolRequestSchema,
  CompleteRequestSchema,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  SubscribeRequestSchema
} from '@modelcontextprotocol/sdk/types.js'
import { Server as Server2 } from '@modelcontextprotocol/server'
import type { PluggedServer } from '../../../src/mcp/create-server.js'
import { getMember } from '../../../src/members.js'

/*
 * A server that takes a name for another one: it looks names up without case and space, in one Unicode form, and
 * decodes URIs. It says what has run, by the names that it has.
 */
export const HIDDEN = 's\u00e9cret'
const NAMES = ['open', HIDDEN]

/** What the server takes a name for. */
export function lookUp (name: unknown): string {
  return String(name).normalize('NFKC').replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '').trim().toLowerCase()
}

/** What the server takes a URI for. */
export function lookUpUri (uri: unknown): string {
  let decoded = String(uri)
  for (let times = 0; times < 3; times++) {
    try {
      decoded = decodeURIComponent(decoded)
    } catch {
      break
    }
  }
  const folded = lookUp(decoded)
  return lookUp(decodeURIComponent(URL.parse(folded)?.href ?? folded))
}

const known = (name: string, found: string) => {
  if (!NAMES.some(one => found === one || found === `doc://x/${one}`)) throw new Error(`Unknown: ${name}`)
  return found
}

export type Ran = (what: string) => void

const capabilities = { tools: {}, prompts: {}, resources: { subscribe: true }, completions: {} }
const tools = NAMES.map(name => ({ name, inputSchema: { type: 'object' as const } }))
const prompts = NAMES.map(name => ({ name }))
const resources = NAMES.map(name => ({ name, uri: `doc://x/${name}` }))

function handlers (ran: Ran) {
  const use = (kind: string, name: string, found: string) => { ran(`${kind} ${known(name, found)}`) }
  return {
    call: (name: string) => {
      use('tool', name, lookUp(name))
      return { content: [{ type: 'text' as const, text: 'ran' }] }
    },
    get: (name: string) => {
      use('prompt', name, lookUp(name))
      return { messages: [] }
    },
    read: (uri: string) => {
      use('resource', uri, lookUpUri(uri))
      return { contents: [{ uri, text: 'read' }] }
    },
    subscribe: (uri: string) => {
      use('subscription', uri, lookUpUri(uri))
      return {}
    },
    complete: (ref: unknown) => {
      const [name, uri] = [getMember(ref, 'name'), getMember(ref, 'uri')]
      const found = name === undefined ? lookUpUri(uri) : lookUp(name)
      use('completion', String(name ?? uri), found)
      return { completion: { values: ['one'] } }
    }
  }
}

function makeCareless1 (ran: Ran): PluggedServer {
  const server = new Server1({ name: 'careless', version: '1' }, { capabilities })
  const on = handlers(ran)
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools }))
  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts }))
  server.setRequestHandler(ListResourcesRequestSchema, () => ({ resources }))
  server.setRequestHandler(CallToolRequestSchema, ({ params }) => on.call(params.name))
  server.setRequestHandler(GetPromptRequestSchema, ({ params }) => on.get(params.name))
  server.setRequestHandler(ReadResourceRequestSchema, ({ params }) => on.read(params.uri))
  server.setRequestHandler(SubscribeRequestSchema, ({ params }) => on.subscribe(params.uri))
  server.setRequestHandler(CompleteRequestSchema, ({ params }) => on.complete(params.ref))
  return server
}

function makeCareless2 (ran: Ran): PluggedServer {
  const server = new Server2({ name: 'careless', version: '2' }, { capabilities })
  const on = handlers(ran)
  server.setRequestHandler('tools/list', () => ({ tools }))
  server.setRequestHandler('prompts/list', () => ({ prompts }))
  server.setRequestHandler('resources/list', () => ({ resources }))
  server.setRequestHandler('tools/call', ({ params }) => on.call(params.name))
  server.setRequestHandler('prompts/get', ({ params }) => on.get(params.name))
  server.setRequestHandler('resources/read', ({ params }) => on.read(params.uri))
  server.setRequestHandler('resources/subscribe', ({ params }) => on.subscribe(params.uri))
  server.setRequestHandler('completion/complete', ({ params }) => on.complete(params.ref))
  return server
}

export const CARELESS: Readonly<Record<string, (ran: Ran) => PluggedServer>> = {
  'SDK 1.x': makeCareless1,
  'SDK 2.x': makeCareless2
}
