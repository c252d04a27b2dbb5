import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { BoundedMap } from '../collections/bounded-map.js'
import type { ObservedRequest } from '../mcp/observer.js'
import { MAX_TEXT, shown } from './shown.js'

/** What is recorded of a call: what was asked for, where. It is small, whatever the client has sent. */
export interface CallFacts {
  server: string | undefined
  era: ObservedRequest['era']
  sessionId: string | undefined
  protocolVersion: string | undefined
  /** Undefined: of an HTTP request whose body was not read. */
  request: RequestFacts | undefined
  /** JSON text of arguments that are recorded. */
  recorded: string | undefined
}

interface RequestFacts {
  method: string
  id: string
  /** Of a resource, without its query. */
  uri: string | undefined
  /** Of a tool, or a prompt. */
  name: string | undefined
}

const MAX_VERSION = 32
// names of others that are longer are not kept
const MAX_KEPT = 64

/** @param recorded JSON text of arguments that are recorded */
export function toCallFacts (
  { request, server, era, sessionId, protocolVersion }: Partial<ObservedRequest>,
  recorded?: string
): CallFacts {
  return {
    server,
    era,
    sessionId,
    protocolVersion: protocolVersion === undefined ? undefined : bounded(protocolVersion, MAX_VERSION),
    request: request && toRequestFacts(request),
    recorded
  }
}

function toRequestFacts ({ id, method, params }: JSONRPCRequest): RequestFacts {
  const { uri, name } = params ?? {}
  return {
    method: bounded(method),
    id: bounded(String(id)),
    uri: typeof uri === 'string' ? bounded(withoutQuery(uri)) : undefined,
    name: typeof name === 'string' ? bounded(name) : undefined
  }
}

/** The JSON text of a call, after a comma. */
export function writeCall ({ request, server, era, sessionId, protocolVersion, recorded }: CallFacts): string {
  const members: string[] = []
  if (server !== undefined) members.push(`"server":{"name":${JSON.stringify(server)}}`)
  if (era !== undefined) members.push(`"era":"${era}"`)
  if (request !== undefined) {
    // an id comes once
    members.push(`"method":{"name":${quote(request.method)}},"request":{"id":${JSON.stringify(shown(request.id))}}`)
    if (request.uri !== undefined) members.push(`"resource":{"uri":${quote(request.uri)}}`)
  }
  if (sessionId !== undefined) members.push(`"session":{"id":${JSON.stringify(sessionId)}}`)
  if (protocolVersion !== undefined) members.push(`"protocol":{"version":${quote(protocolVersion)}}`)
  if (recorded !== undefined) members.push(`"arguments":${recorded}`)
  return `,"mcp":{${members.join(',')}}${request === undefined ? '' : writeTarget(request)}`
}

function writeTarget ({ method, name }: RequestFacts): string {
  if (name === undefined) return ''
  const target = `{"name":${quote(name)}}`
  if (method === 'tools/call') return `,"gen_ai":{"tool":${target}}`
  return method === 'prompts/get' ? `,"gen_ai":{"prompt":${target}}` : ''
}

/** A text of others no longer than an event may have it: what it may have of it is looked at when it is written. */
function bounded (text: string, max = MAX_TEXT): string {
  return text.length > max ? shown(text, max) : text
}

// methods, tools and revisions, again and again
const quoted = new BoundedMap<string, string>(1000)

/** A text of others as a JSON string. */
function quote (text: string): string {
  if (text.length > MAX_KEPT) return JSON.stringify(shown(text))
  let known = quoted.get(text)
  if (known === undefined) quoted.set(text, known = JSON.stringify(shown(text)))
  return known
}

// as with URLs, what varies is in the query
function withoutQuery (uri: string): string {
  return uri.split(/[?#]/, 1)[0] ?? ''
}
