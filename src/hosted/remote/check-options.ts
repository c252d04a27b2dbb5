import { Type } from '@sinclair/typebox'
import { ConfigError } from '../../errors.js'
import { checkOptions } from '../../validation/check.js'
import { proxyOption } from '../../validation/proxy.js'
import {
  checked,
  choiceSchema,
  clientId,
  clientSecret,
  count,
  functionSchema,
  objectSchema,
  optional,
  optionSchemas,
  secureUrlText,
  someText,
  textThat,
  timerSeconds
} from '../../validation/schemas.js'
import { HTTP_URL, isHttpUrl } from '../../validation/values.js'
import type { RemoteLimits, RemoteServerOptions, TokenExchangeOptions } from './options.js'

/** Headers that this service writes itself. */
const OWN_HEADERS = new Set([
  'accept', 'accept-encoding', 'connection', 'content-length', 'content-type', 'host', 'last-event-id', 'mcp-method',
  'mcp-name', 'mcp-protocol-version', 'mcp-session-id', 'transfer-encoding'
])

const headers = checked<Readonly<Record<string, string>>>(
  { takes: `an object of headers and their values, without ${[...OWN_HEADERS].join(', ')}`, secret: true },
  value => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    return Object.entries(value).every(([name, text]) => {
      if (typeof text !== 'string' || OWN_HEADERS.has(name.toLowerCase())) return false
      try {
        return new Headers([[name, text]]).has(name)
      } catch {
        return false
      }
    })
  }
)

const tokenExchange = optionSchemas<TokenExchangeOptions>()({
  tokenEndpoint: secureUrlText,
  audience: optional(someText),
  resource: optional(someText),
  clientId,
  clientSecret,
  scope: optional(someText)
})

const limits = optionSchemas<Partial<RemoteLimits>>()({
  connectSeconds: optional(timerSeconds),
  silenceSeconds: optional(timerSeconds),
  idleSeconds: optional(timerSeconds),
  maxIdleConnections: optional(count),
  maxMessageBytes: optional(count),
  maxWaitingRequests: optional(count)
})

const options = objectSchema({
  ...optionSchemas<Omit<RemoteServerOptions, 'auth'>>()({
    url: textThat({ takes: `${HTTP_URL}, without user and password`, secret: true }, isHttpUrl),
    headers: optional(headers),
    transport: optional(choiceSchema('auto', 'streamable-http', 'sse')),
    proxy: optional(proxyOption),
    limits: optional(objectSchema(limits, 'an object of limits')),
    fetch: optional(functionSchema<typeof globalThis.fetch>('a function like the global fetch'))
  }),
  auth: optional(
    Type.Unsafe<NonNullable<RemoteServerOptions['auth']>>(
      checked<unknown>(
        { takes: '\'upstream-token\' or an object with tokenExchange' },
        value => value === 'upstream-token' || (typeof value === 'object' && value !== null && 'tokenExchange' in value)
      )
    )
  )
}, 'an object with url')
const exchange = objectSchema(
  { tokenExchange: objectSchema(tokenExchange, 'an object with tokenEndpoint, clientId and clientSecret') },
  'an object with tokenExchange'
)

/**
 * Checks the options of a remote server.
 * @throws {ConfigError} with one line that names the option, what it got and what it takes
 */
export function checkRemoteServerOptions (given: RemoteServerOptions): void {
  checkOptions('remoteServer', options, given)
  if (given.auth === undefined) return
  if (given.auth !== 'upstream-token') checkOptions('remoteServer', exchange, given.auth, 'auth')
  if (Object.keys(given.headers ?? {}).some(name => name.toLowerCase() === 'authorization')) {
    throw new ConfigError('remoteServer: headers has an authorization, and auth is set: only one of them can go along.')
  }
}
