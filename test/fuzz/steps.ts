import fc from 'fast-check'
import { oddText } from './values.js'

/** One request. Texts hold words in braces, see `fill`. */
export interface RequestStep {
  via: 'inject' | 'socket'
  method: string
  target: string
  headers: ReadonlyArray<readonly [string, string]>
  body?: string
  /** Of the body; of a header each character is a byte. */
  encoding: 'utf8' | 'latin1'
  address: string
  /** The client goes before it has the response (over a socket), or keeps a stream open to the end of the scenario. */
  client: 'waits' | 'goes' | 'keeps'
}

/** A person logs in at the upstream, where the last response has sent them. */
export interface LoginStep {
  login: string
}

export type Step = RequestStep | LoginStep

/** Requests of one stranger, one after another, or all at once. */
export interface Scenario {
  steps: readonly Step[]
  atOnce: boolean
}

export type Header = readonly [string, string]

const METHODS = [
  'GET',
  'POST',
  'DELETE',
  'PUT',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'QUERY',
  'REPORT'
] as const
export const method = fc.constantFrom(...METHODS)

const address = fc.oneof(
  { arbitrary: fc.constant('127.0.0.1'), weight: 4 },
  { arbitrary: fc.nat(2 ** 24).map(n => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`), weight: 2 },
  { arbitrary: fc.nat(65535).map(n => `2001:db8::${n.toString(16)}`), weight: 1 }
)

export const token = fc.oneof(
  { arbitrary: fc.constant('Bearer {{token:alice}}'), weight: 20 },
  {
    arbitrary: fc.constantFrom(
      'Bearer {{token:bob}}',
      'Bearer {{token:weak}}',
      'Bearer {{token:otherClient}}',
      'bearer  {{token:alice}} ',
      'Bearer {{token:expired}}',
      'Bearer {{token:foreign}}',
      'Bearer {{token:refresh}}',
      'Bearer {{token:upstream}}',
      'Bearer mcpa_unknown',
      'Bearer',
      'Bearer ',
      'Basic Zm9vOmJhcg==',
      'Basic {{basic}}',
      'DPoP {{token:alice}}',
      'Bearer a.b.c',
      'Bearer {{long:9000}}',
      'Bearer __proto__',
      'Bearer eyJhbGciOiJub25lIn0.e30.',
      'Bearer a b',
      ''
    ),
    weight: 4
  }
)

const PROTOCOL_VERSIONS = [
  '2024-11-05',
  '2025-03-26',
  '2025-06-18',
  '2025-11-25',
  '2026-07-28',
  '1999-01-01',
  '2025-03-26, 2025-11-25',
  'x',
  '',
  '2027-01-01',
  '{{long:300}}'
] as const
const SESSIONS = [
  '{{session:alice}}',
  '{{session:bob}}',
  '{{session:dead}}',
  '{{session:sse}}',
  '{{session:otherClient}}',
  'unknown',
  '',
  '__proto__',
  '{{long:9000}}',
  '{{session:alice}}, {{session:bob}}',
  '\u00ff\u0080',
  '*',
  '{mcp}:x'
] as const

const headerValue: Record<string, fc.Arbitrary<string>> = {
  authorization: token,
  'mcp-protocol-version': fc.constantFrom(...PROTOCOL_VERSIONS),
  'mcp-session-id': fc.constantFrom(...SESSIONS),
  'mcp-method': fc.constantFrom('initialize', 'tools/call', 'tools/list', 'ping', '', 'x', '=?base64?eA==?='),
  'mcp-name': fc.constantFrom('add', 'x', '', '=?base64?YWRk?=', '=?base64?/w==?=', '\u00ff'),
  'content-type': fc.constantFrom(
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset=utf-16',
    'text/plain',
    'application/x-www-form-urlencoded',
    ';',
    'application/json, text/plain',
    'multipart/form-data; boundary=x',
    '',
    'APPLICATION/JSON',
    'application/vnd.api+json'
  ),
  accept: fc.constantFrom(
    '*/*',
    'application/json',
    'text/event-stream',
    'application/json, text/event-stream',
    'x',
    '',
    'text/html',
    'application/json;q=0, text/event-stream',
    '{{long:5000}}'
  ),
  'last-event-id': fc.constantFrom('x', 'get:0', '', '{{event}}', '{{long:3000}}', '__proto__:1', '0-0', '*'),
  origin: fc.constantFrom(
    'https://evil.example',
    'null',
    'http://localhost:5050',
    'http://localhost',
    '',
    'http://[::1]',
    'https://evil.example, http://localhost:5050',
    'file://',
    '{{long:3000}}'
  ),
  host: fc.constantFrom(
    'localhost:5050',
    'evil.example',
    '',
    'localhost:5050, evil.example',
    '127.0.0.1',
    '[::1]:5050',
    'LOCALHOST',
    'a b',
    '{{long:300}}'
  ),
  cookie: fc.constantFrom(
    '{{cookie}}',
    'mcp-browser=x',
    'mcp-person=x.y',
    '__proto__=1',
    'a',
    '=',
    '%',
    ';;;',
    '{{long:9000}}',
    'mcp-browser="{}"'
  ),
  'content-length': fc.constantFrom('0', '1', '99999999999', '-1', 'x', '10, 10'),
  'transfer-encoding': fc.constantFrom('chunked', 'gzip', 'chunked, chunked', 'identity'),
  expect: fc.constantFrom('100-continue', 'x'),
  connection: fc.constantFrom('close', 'keep-alive', 'upgrade'),
  upgrade: fc.constantFrom('websocket', 'h2c'),
  range: fc.constantFrom('bytes=0-1'),
  'x-forwarded-for': fc.constantFrom('1.2.3.4', 'x', '{{long:500}}'),
  'x-forwarded-host': fc.constantFrom('evil.example', ''),
  'x-http-method-override': fc.constantFrom('DELETE'),
  'accept-version': fc.constantFrom('1.x', '*'),
  'access-control-request-method': fc.constantFrom('POST', 'x', ''),
  'access-control-request-headers': fc.constantFrom('x', '{{long:3000}}', '\u00ff'),
  traceparent: fc.constantFrom('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x', '{{long:3000}}'),
  'accept-encoding': fc.constantFrom('gzip', 'br;q=x'),
  'content-encoding': fc.constantFrom('gzip', 'x'),
  'x-request-id': fc.constantFrom('x', '{{long:3000}}')
}
const named = Object.entries(headerValue).map(([name, value]) => value.map((text): Header => [name, text]))

/** A change of a list of headers. */
type HeaderChange = (headers: readonly Header[]) => readonly Header[]

const headerChange: fc.Arbitrary<HeaderChange> = fc.oneof(
  {
    arbitrary: fc
      .oneof(...named)
      .map(header => (headers: readonly Header[]) => [...headers.filter(([name]) => name !== header[0]), header]),
    weight: 6
  },
  { arbitrary: fc.oneof(...named).map(header => (headers: readonly Header[]) => [...headers, header]), weight: 1 },
  {
    arbitrary: fc
      .nat(20)
      .map(
        at => (headers: readonly Header[]) => headers.filter((_header, index) => index !== at % (headers.length || 1))
      ),
    weight: 3
  },
  {
    arbitrary: fc.tuple(fc.nat(20), oddText).map(
      ([at, text]) =>
        (headers: readonly Header[]) =>
          headers.map(([name, value], index): Header => [name, index === at % headers.length ? text : value])
    ),
    weight: 1
  },
  {
    arbitrary: fc
      .nat(20)
      .map(
        at => (headers: readonly Header[]) =>
          headers.flatMap((header, index) => (index === at % headers.length ? [header, header] : [header]))
      ),
    weight: 1
  },
  {
    arbitrary: fc.constant((headers: readonly Header[]) =>
      headers.map(([name, value]): Header => [name.toUpperCase(), value])
    ),
    weight: 1
  }
)
const changes = fc.oneof(
  { arbitrary: fc.constant<HeaderChange[]>([]), weight: 8 },
  { arbitrary: fc.array(headerChange, { minLength: 1, maxLength: 3 }), weight: 4 }
)

/** A request as an honest client makes it. */
export interface Honest {
  method: string
  target: string
  headers: readonly Header[]
  body?: string
}

/** An honest request, a little off. */
export function near (honest: fc.Arbitrary<Honest>): fc.Arbitrary<RequestStep> {
  return fc
    .record({
      honest,
      changes,
      via: fc.oneof(
        { arbitrary: fc.constant('inject' as const), weight: 6 },
        { arbitrary: fc.constant('socket' as const), weight: 1 }
      ),
      otherMethod: fc.oneof({ arbitrary: fc.constant(undefined), weight: 24 }, { arbitrary: method, weight: 1 }),
      address,
      encoding: fc.oneof(
        { arbitrary: fc.constant('utf8' as const), weight: 9 },
        { arbitrary: fc.constant('latin1' as const), weight: 1 }
      ),
      client: fc.oneof(
        { arbitrary: fc.constant('waits' as const), weight: 8 },
        { arbitrary: fc.constantFrom('goes' as const, 'keeps' as const), weight: 1 }
      )
    })
    .map(({ honest, changes, otherMethod, ...rest }) => ({
      ...honest,
      ...rest,
      method: otherMethod ?? honest.method,
      headers: changes.reduce<readonly Header[]>((headers, change) => change(headers), honest.headers)
    }))
}
