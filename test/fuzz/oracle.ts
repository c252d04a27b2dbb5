import type { FuzzedRoute } from './routes.js'
import { goesOverSocket, type Received } from './send.js'
import type { RequestStep } from './steps.js'

/** What the documentation says of 5xx: docs/errors.md. */
const REFUSALS: ReadonlyMap<number, RegExp> = new Map([
  [502, /"error":"server_error"|did not answer as|login server/],
  [503, /temporarily_unavailable|"code":-32000|Try again|closing/]
])
const OUR_FAULT = /Something went wrong on our side|Internal error|Internal Server Error|FST_ERR/
const STACK = /\bat .*\(?\S+\.(?:js|ts):\d+/

/**
 * Says what is wrong with a response; undefined where nothing is.
 * @param step with its words filled in
 * @param routeOf the route of this service that a request leads to, as far as it is plain
 */
export function faultOf (
  step: RequestStep,
  response: Received,
  routeOf: (step: RequestStep) => FuzzedRoute | undefined
): string | undefined {
  const route = routeOf(step)
  return (
    generalFault(response) ??
    (route !== undefined && (!goesOverSocket(step) || isReadable(step))
      ? routeFault(route, step, response)
      : undefined)
  )
}

// Node.js itself answers what it cannot parse
function isReadable ({ headers, target }: RequestStep): boolean {
  return (
    /^\/[\x21-\x7e]*$/.test(target) &&
    target.length < 4000 &&
    headers.every(([name, value]) => /^[\x21-\x39\x3b-\x7e]+$/.test(name) && /^[\x20-\x7e\x80-\xff]*$/.test(value)) &&
    JSON.stringify(headers).length < 8000 &&
    !headers.some(([name]) => /^(content-length|transfer-encoding|expect|upgrade|connection)$/i.test(name)) &&
    headers.filter(([name]) => name.toLowerCase() === 'host').length === 1
  )
}

function generalFault ({ status, headers, body }: Received): string | undefined {
  if (status >= 500 && !(REFUSALS.get(status)?.test(body) === true) && !headers.has('allow')) {
    return `status ${status} that is no documented refusal`
  }
  if (status >= 500 && OUR_FAULT.test(body)) return `status ${status}: a fault of ours`
  if (STACK.test(body)) return 'a stack in the response'
  if (/^text\/html/.test(headers.get('content-type') ?? '') && body.includes('<fuzz-x')) {
    return 'HTML of the caller in the response'
  }
  if ([...headers].some(([name, value]) => name === 'x-injected' || /[\r\n]/.test(value))) {
    return 'a header of the caller in the response'
  }
  return undefined
}

function routeFault (route: FuzzedRoute, step: RequestStep, response: Received): string | undefined {
  if (step.method === 'OPTIONS' && response.status === 204) return undefined
  const isOurs =
    response.headers.get('x-request-id') !== undefined || response.status === 404 || response.status === 400
  if (!isOurs) return 'a response without X-Request-Id'
  const refusesFirst = route.kind === 'mcp' && [401, 403, 429, 503].includes(response.status)
  if (!route.methods.includes(step.method) && !refusesFirst && response.status !== 400) {
    if (response.status !== 405) return `a ${response.status} for a method that is not there`
    if (!response.headers.has('allow')) return 'a 405 without Allow'
  }
  if (step.method === 'HEAD') return response.body === '' ? undefined : 'a body in the response to HEAD'
  switch (route.kind) {
    case 'mcp':
      return mcpFault(step, response)
    case 'oauth':
      return oauthFault(step, response)
    case 'page':
      return pageFault(response)
    case 'json':
      return jsonFault(route, response)
    case 'text':
      return undefined
  }
}

function parsed (text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''))
  } catch {
    return undefined
  }
}

const isJson = ({ headers }: Received) => /^application\/json\b/.test(headers.get('content-type') ?? '')
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function isOAuthError (value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.error === 'string' &&
    /^[a-z_]+$/.test(value.error) &&
    typeof value.error_description === 'string'
  )
}

function mcpFault (step: RequestStep, response: Received): string | undefined {
  const { status, headers, body } = response
  const value = parsed(body)
  if (status === 401 || (status === 403 && headers.has('www-authenticate'))) {
    if (!/^Bearer /.test(headers.get('www-authenticate') ?? '')) return `a ${status} without a challenge`
    return isOAuthError(value) ? undefined : `a ${status} without an OAuth error`
  }
  if (status === 202 || status === 204) return body === '' ? undefined : `a ${status} with a body`
  if (status === 200 && step.method === 'DELETE') return body === '' ? undefined : 'a body in the response to DELETE'
  if (status === 200 && /^text\/event-stream/.test(headers.get('content-type') ?? '')) return eventsFault(body)
  if (!isJson(response)) return `a ${status} of type ${headers.get('content-type')}`
  if (status === 503 && isOAuthError(value)) return undefined
  if (status !== 200) return errorFault(step, status, value)
  return responsesFault(step, value)
}

function eventsFault (body: string): string | undefined {
  // the last event may not be whole yet
  for (const event of body.split('\n\n').slice(0, -1)) {
    const lines = event.split('\n')
    if (!lines.every(line => /^(event|data|id|retry):|^:|^$/.test(line))) {
      return `an event stream with ${JSON.stringify(event.slice(0, 100))}`
    }
    const data = lines
      .filter(line => line.startsWith('data:'))
      .map(line => line.slice(5).trim())
      .join('')
    if (data === '' || lines.includes('event: endpoint')) continue
    const fault = messageFault(parsed(data))
    if (fault !== undefined) return `in an event: ${fault}`
  }
  return undefined
}

function messageFault (value: unknown): string | undefined {
  if (!isObject(value) || value.jsonrpc !== '2.0') return `no JSON-RPC message: ${JSON.stringify(value)?.slice(0, 200)}`
  if ('method' in value) return typeof value.method === 'string' ? undefined : 'a method that is no text'
  if ('result' in value === 'error' in value) return 'not one of result and error'
  if ('result' in value) return isObject(value.result) ? undefined : 'a result that is no object'
  const { error } = value
  if (!isObject(error) || !Number.isInteger(error.code) || typeof error.message !== 'string') {
    return `a JSON-RPC error without code and message: ${JSON.stringify(error)}`
  }
  return error.code === -32603 ? `an internal error (-32603): ${error.message.slice(0, 300)}` : undefined
}

const isId = (id: unknown): id is string | number => typeof id === 'string' || typeof id === 'number'

// what is not UTF-8 is read as if it were
function sentBy ({ body = '', encoding }: RequestStep): unknown {
  return parsed(Buffer.from(body, encoding).toString())
}

function errorFault (step: RequestStep, status: number, value: unknown): string | undefined {
  if (Array.isArray(value)) return undefined
  const fault = messageFault(value)
  if (fault !== undefined || !isObject(value) || !('error' in value)) return `a ${status}: ${fault ?? 'no error'}`
  const sent = sentBy(step)
  const id = isObject(sent) && isId(sent.id) ? sent.id : undefined
  return value.id === null || value.id === undefined || value.id === id
    ? undefined
    : `a ${status} with the id ${JSON.stringify(value.id)} of a request with ${JSON.stringify(id)}`
}

function responsesFault (step: RequestStep, value: unknown): string | undefined {
  const sent = [sentBy(step)]
    .flat()
    .filter(isObject)
    .map(({ id }) => id)
    .filter(isId)
  const responses: unknown[] = Array.isArray(value) ? value : [value]
  if (responses.length === 0) return 'a batch without responses'
  for (const response of responses) {
    const fault = messageFault(response)
    if (fault !== undefined) return fault
    const id = isObject(response) ? response.id : undefined
    if (!isId(id) || !sent.includes(id)) {
      return `a response with the id ${JSON.stringify(id)} to ${JSON.stringify(sent)}`
    }
  }
  return undefined
}

function oauthFault ({ target }: RequestStep, response: Received): string | undefined {
  const { status, headers, body } = response
  if (status === 200 && /\/revoke/.test(target)) {
    return body === ''
      ? undefined
      : 'a body in the response to a revocation'
  }
  if (!isJson(response)) return `a ${status} of type ${headers.get('content-type')}`
  const value = parsed(body)
  if (!isObject(value)) return `a ${status} that is no JSON object`
  if (status >= 400 && status !== 404) return isOAuthError(value) ? undefined : `a ${status} without an OAuth error`
  if (!/no-store/.test(headers.get('cache-control') ?? '') && status < 400) {
    return `a ${status} without Cache-Control: no-store`
  }
  if (status === 201) return typeof value.client_id === 'string' ? undefined : 'a registration without client_id'
  if (status === 200) {
    return typeof value.access_token === 'string' || typeof value.active === 'boolean'
      ? undefined
      : 'neither a token nor what one is worth'
  }
  return undefined
}

function pageFault ({ status, headers }: Received): string | undefined {
  if (status >= 300 && status < 400) {
    const location = headers.get('location') ?? ''
    if (!URL.canParse(location)) return `a redirect to ${JSON.stringify(location)}`
    return /^(javascript|data|vbscript|file|blob):/i.test(location) ? `a redirect to ${location}` : undefined
  }
  const type = headers.get('content-type') ?? ''
  if (!type.startsWith('text/html')) return undefined
  if (!/default-src 'none'/.test(headers.get('content-security-policy') ?? '')) {
    return 'a page without Content-Security-Policy'
  }
  return headers.get('cache-control') === 'no-store' ? undefined : 'a page without Cache-Control: no-store'
}

function jsonFault ({ path }: FuzzedRoute, response: Received): string | undefined {
  if (!isJson(response) || parsed(response.body) === undefined) return `${path}: a ${response.status} that is no JSON`
  return response.status === 200 && !isObject(parsed(response.body)) ? `${path}: no JSON object` : undefined
}
