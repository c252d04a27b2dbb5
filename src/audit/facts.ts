import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../caller.js'
import { BoundedMap } from '../collections/bounded-map.js'
import type { InboundHttp, ObservedRequest } from '../mcp/observer.js'
import type { StepGrant, StepRequest } from '../oauth/login-events.js'
import type { AuditEvent, UnchainedEvent } from './event.js'
import { shown } from './shown.js'

type Facts = Pick<UnchainedEvent, 'user' | 'oauth'>

/*
 * Facts are JSON text from the start, each member after a comma: there is an event for each call, and to make an object
 * of it first costs three times as much. The schema is checked by the tests (test/audit).
 */

// the same objects come with every call of a token
const known = new WeakMap<CallerInfo, string>()
const MAX_SCOPES = 64

/** The text of members of an event. */
export function toMembers (facts: Partial<UnchainedEvent> | Pick<AuditEvent, 'service'>): string {
  const text = JSON.stringify(facts).slice(1, -1)
  return text === '' ? '' : `,${text}`
}

// methods, tools and revisions, again and again
const quoted = new BoundedMap<string, string>(1000)
const MAX_KEPT = 64

/** A text of others as a JSON string. */
function quote (text: string, max?: number): string {
  if (text.length > Math.min(MAX_KEPT, max ?? MAX_KEPT)) return JSON.stringify(shown(text, max))
  let known = quoted.get(text)
  if (known === undefined) quoted.set(text, known = JSON.stringify(shown(text)))
  return known
}

/** Who makes a request, and by which client and grant. */
export function writeCaller (caller: CallerInfo | null | undefined): string {
  if (caller == null) return ''
  let text = known.get(caller)
  if (text === undefined) {
    const { clientId, extra: { issuer, subject, grantId } } = caller
    text = toMembers({
      ...describePerson({ issuer, subject }),
      oauth: {
        ...clientId !== '' && { client: { id: shown(clientId) } },
        ...grantId !== undefined && { grant: { id: grantId } }
      }
    })
    known.set(caller, text)
  }
  return text
}

export function describePerson ({ issuer, subject }: { issuer: string, subject: string }): Pick<Facts, 'user'> {
  return { user: { id: shown(subject), domain: shown(issuer) } }
}

/** Whose a grant is, and what it allows. */
export function describeGrantFacts ({ grantId, clientId, issuer, subject, resource, scopes }: StepGrant): Facts {
  return {
    ...describePerson({ issuer, subject }),
    oauth: {
      client: { id: shown(clientId) },
      grant: { id: grantId },
      resource: shown(resource),
      scopes: scopes.slice(0, MAX_SCOPES).map(scope => shown(scope))
    }
  }
}

/** An HTTP request, and what is known of its response. */
export function writeHttp (
  http: StepRequest | InboundHttp | undefined,
  { bytes, status }: { bytes?: number | undefined, status?: number } = {}
): string {
  if (http === undefined) return ''
  const { id, ip, mcpTraceId } = http
  const { bodyBytes = 0 }: { bodyBytes?: number } = 'bodyBytes' in http ? http : {}
  const client = ip === undefined ? '' : `,"client":{"ip":${JSON.stringify(ip)}}`
  const body = bodyBytes > 0 ? `,"body":{"bytes":${bodyBytes}}` : ''
  const request = `"request":{"id":${JSON.stringify(id)}${body}}`
  const trace = mcpTraceId == null ? '' : `,"trace":{"id":${JSON.stringify(mcpTraceId)}}`
  return `${client},"http":{${request}${writeResponse(bytes, status)}}${trace}`
}

function writeResponse (bytes: number | undefined, status: number | undefined): string {
  if (status !== undefined) return `,"response":{"status_code":${status}}`
  return bytes === undefined ? '' : `,"response":{"body":{"bytes":${bytes}}}`
}

/** A call: what was asked for, where. @param recorded JSON text of arguments that are recorded */
export function writeCall (
  { request, server, era, sessionId, protocolVersion }: Partial<Omit<ObservedRequest, 'caller' | 'http'>>,
  recorded?: string
): string {
  const members: string[] = []
  if (server !== undefined) members.push(`"server":{"name":${JSON.stringify(server)}}`)
  if (era !== undefined) members.push(`"era":"${era}"`)
  if (request !== undefined) {
    // an id comes once
    const id = JSON.stringify(shown(`${request.id}`))
    members.push(`"method":{"name":${quote(request.method)}},"request":{"id":${id}}`)
    const { uri } = request.params ?? {}
    if (typeof uri === 'string') members.push(`"resource":{"uri":${quote(withoutQuery(uri))}}`)
  }
  if (sessionId !== undefined) members.push(`"session":{"id":${JSON.stringify(sessionId)}}`)
  if (protocolVersion !== undefined) members.push(`"protocol":{"version":${quote(protocolVersion, 32)}}`)
  if (recorded !== undefined) members.push(`"arguments":${recorded}`)
  return `,"mcp":{${members.join(',')}}${request === undefined ? '' : writeTarget(request)}`
}

function writeTarget ({ method, params }: JSONRPCRequest): string {
  if (typeof params?.name !== 'string') return ''
  const target = `{"name":${quote(params.name)}}`
  if (method === 'tools/call') return `,"gen_ai":{"tool":${target}}`
  return method === 'prompts/get' ? `,"gen_ai":{"prompt":${target}}` : ''
}

// as with URLs, what varies is in the query
function withoutQuery (uri: string): string {
  return uri.split(/[?#]/, 1)[0] ?? ''
}
