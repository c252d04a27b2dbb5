import type { CallerInfo } from '../caller.js'
import type { InboundHttp } from '../mcp/observer.js'
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

/** What is recorded of an HTTP request. */
type HttpFacts = Pick<InboundHttp, 'id' | 'ip' | 'bodyBytes' | 'mcpTraceId'>

export function toHttpFacts ({ id, ip, bodyBytes, mcpTraceId = null }: InboundHttp): HttpFacts {
  return { id, ip, bodyBytes, mcpTraceId }
}

/** An HTTP request, and what is known of its response. */
export function writeHttp (
  http: StepRequest | HttpFacts | undefined,
  { bytes, status }: { bytes?: number | undefined, status?: number } = {}
): string {
  if (http === undefined) return ''
  const { id, ip, mcpTraceId } = http
  const { bodyBytes = 0 }: { bodyBytes?: number } = 'bodyBytes' in http ? http : {}
  const client = ip === undefined ? '' : `,"client":{"ip":${JSON.stringify(ip)}}`
  const body = bodyBytes > 0 ? `,"body":{"bytes":${bodyBytes}}` : ''
  const trace = mcpTraceId == null ? '' : `,"trace":{"id":${JSON.stringify(mcpTraceId)}}`
  return `${client},"http":{"request":{"id":${JSON.stringify(id)}${body}}${writeResponse(bytes, status)}}${trace}`
}

function writeResponse (bytes: number | undefined, status: number | undefined): string {
  if (status !== undefined) return `,"response":{"status_code":${status}}`
  return bytes === undefined ? '' : `,"response":{"body":{"bytes":${bytes}}}`
}
