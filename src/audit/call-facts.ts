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
export function writeCall (facts: CallFacts): string {
  const { request, recorded } = facts
  const place = writePlace(facts)
  if (request === undefined) return `,"mcp":{${place.slice(1)}}`
  const { method, id, uri, name } = request
  const resource = uri === undefined ? '' : `,"resource":{"uri":${quote(uri)}}`
  const given = recorded === undefined ? '' : `,"arguments":${recorded}`
  // an id comes once
  return `,"mcp":{"method":{"name":${quote(method)}},"request":{"id":${JSON.stringify(shown(id))}}` +
    `${resource}${place}${given}}${writeTarget(method, name)}`
}

/** Where a session, or what is without one, makes its calls. */
type Place = Pick<CallFacts, 'server' | 'era' | 'sessionId' | 'protocolVersion'>

// by session: its calls come one after the other, and say the same
const places = new BoundedMap<string, Place & { text: string }>(1000)

/** The JSON text of where a call is made, each member after a comma. */
function writePlace ({ server, era, sessionId, protocolVersion }: Place): string {
  const key = sessionId ?? ''
  let known = places.get(key)
  const isSame = known?.server === server && known?.era === era && known?.protocolVersion === protocolVersion
  if (known === undefined || !isSame) {
    const place = { server, era, sessionId, protocolVersion }
    places.set(key, known = { ...place, text: toPlaceText(place) })
  }
  return known.text
}

function toPlaceText ({ server, era, sessionId, protocolVersion }: Place): string {
  return (server === undefined ? '' : `,"server":{"name":${JSON.stringify(server)}}`) +
    (era === undefined ? '' : `,"era":"${era}"`) +
    (sessionId === undefined ? '' : `,"session":{"id":${JSON.stringify(sessionId)}}`) +
    (protocolVersion === undefined ? '' : `,"protocol":{"version":${quote(protocolVersion)}}`)
}

function writeTarget (method: string, name: string | undefined): string {
  if (name === undefined) return ''
  if (method === 'tools/call') return `,"gen_ai":{"tool":{"name":${quote(name)}}}`
  return method === 'prompts/get' ? `,"gen_ai":{"prompt":{"name":${quote(name)}}}` : ''
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
