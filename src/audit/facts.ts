import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../caller.js'
import type { InboundHttp, ObservedRequest } from '../mcp/observer.js'
import type { StepGrant, StepRequest } from '../oauth/login-events.js'
import type { UnchainedEvent } from './event.js'
import { shown } from './shown.js'

type Facts = Pick<UnchainedEvent, 'user' | 'oauth' | 'client' | 'http' | 'trace' | 'mcp' | 'gen_ai'>

// the same objects come with every call of a token
const known = new WeakMap<CallerInfo, Facts>()
const MAX_SCOPES = 64

/** Who makes a request, and by which client and grant. */
export function describeCaller (caller: CallerInfo): Facts {
  let facts = known.get(caller)
  if (facts === undefined) {
    const { clientId, extra: { issuer, subject, grantId } } = caller
    facts = {
      ...describePerson({ issuer, subject }),
      oauth: {
        ...clientId !== '' && { client: { id: shown(clientId) } },
        ...grantId !== undefined && { grant: { id: grantId } }
      }
    }
    known.set(caller, facts)
  }
  return facts
}

export function describePerson ({ issuer, subject }: { issuer: string, subject: string }): Pick<Facts, 'user'> {
  return { user: { id: shown(subject), domain: shown(issuer) } }
}

/** Whose a grant is, and what it allows. */
export function describeGrantFacts ({ grantId, clientId, issuer, subject, scopes }: StepGrant): Facts {
  return {
    ...describePerson({ issuer, subject }),
    oauth: {
      client: { id: shown(clientId) },
      grant: { id: grantId },
      scopes: scopes.slice(0, MAX_SCOPES).map(scope => shown(scope))
    }
  }
}

/** An HTTP request. */
export function describeHttp (http: StepRequest | InboundHttp | undefined, bytes?: number): Facts {
  if (http === undefined) return {}
  const { id, ip, mcpTraceId } = http
  const { bodyBytes = 0 }: { bodyBytes?: number } = 'bodyBytes' in http ? http : {}
  return {
    ...ip !== undefined && { client: { ip } },
    http: {
      request: { id, ...bodyBytes > 0 && { body: { bytes: bodyBytes } } },
      ...bytes !== undefined && { response: { body: { bytes } } }
    },
    ...mcpTraceId != null && { trace: { id: mcpTraceId } }
  }
}

/** A call: what was asked for, where. */
export function describeCall (
  { request, era, sessionId, protocolVersion }: Partial<Omit<ObservedRequest, 'caller' | 'http'>>
): Pick<Facts, 'mcp' | 'gen_ai'> {
  return {
    mcp: {
      ...era !== undefined && { era },
      ...request !== undefined && { method: { name: shown(request.method) }, request: { id: shown(`${request.id}`) } },
      ...sessionId !== undefined && { session: { id: sessionId } },
      ...protocolVersion !== undefined && { protocol: { version: shown(protocolVersion, 32) } },
      ...typeof request?.params?.uri === 'string' && { resource: { uri: shown(withoutQuery(request.params.uri)) } }
    },
    ...request !== undefined && describeTarget(request)
  }
}

function describeTarget ({ method, params }: JSONRPCRequest): Pick<Facts, 'gen_ai'> {
  if (typeof params?.name !== 'string') return {}
  const target = { name: shown(params.name) }
  if (method === 'tools/call') return { gen_ai: { tool: target } }
  return method === 'prompts/get' ? { gen_ai: { prompt: target } } : {}
}

// as with URLs, what varies is in the query
function withoutQuery (uri: string): string {
  return uri.split(/[?#]/, 1)[0] ?? ''
}
