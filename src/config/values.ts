import type { Static, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ConfigError } from '../errors.js'
import type { ProxyOptions } from '../outbound/proxy.js'
import { quoted } from '../validation/check.js'
import {
  ADMIN_TOKEN,
  isAdminToken,
  INTERNAL_URL,
  isBaseUrl,
  isClientCredential,
  isInternalUrl,
  isOrigin,
  isProxyAddress,
  isProxyUrl,
  isScopeToken,
  isSecureUrl,
  isServiceSecret,
  ORIGIN,
  PROXY_URL,
  SECURE_URL
} from '../validation/values.js'

/*
 * Values of environment variables. Each function throws a ConfigError with one line that names the variable, its value
 * (unless that may be a secret) and what it takes.
 */

// what needs no encoding, and that no proxy changes
const PUBLIC_PATH = /^(\/[\w.~-]+)*\/?$/

export function split (value: string, separator: string): string[] {
  return value.split(separator).map(item => item.trim()).filter(item => item !== '')
}

export function parseScopes (value: string): [string, ...string[]] {
  const [first, ...rest] = split(value, ' ')
  if (
    first === undefined || ![first, ...rest].every(isScopeToken) || new Set([first, ...rest]).size < 1 + rest.length
  ) {
    throw new ConfigError(
      `MCP_SCOPES is ${quoted(value)}; it takes one or more scopes, each once, separated by spaces.`
    )
  }
  return [first, ...rest]
}

// its value is not shown: it may hold secrets
export function parseJson<T extends TSchema> (name: string, value: string, schema: T, accepts: string): Static<T> {
  let parsed: unknown
  try {
    parsed = JSON.parse(value)
  } catch {}
  if (!Value.Check(schema, parsed)) throw new ConfigError(`${name} is not valid; it takes ${accepts}.`)
  return parsed
}

export function parseAdminToken (value: string | undefined): string | undefined {
  if (value !== undefined && !isAdminToken(value)) {
    throw new ConfigError(`ADMIN_TOKEN is not valid; it takes ${ADMIN_TOKEN}.`)
  }
  return value
}

// its value is not shown: it may hold a password
export function parseProxy (url: string | undefined, except: string): ProxyOptions | undefined {
  if (url === undefined) return undefined
  if (!isProxyUrl(url)) throw new ConfigError(`HTTPS_PROXY is not valid; it takes ${PROXY_URL}.`)
  return { url, except: split(except.replaceAll(' ', ','), ',') }
}

export function parseServices (value: string): Record<string, string> {
  const services = new Map<string, string>()
  for (const service of split(value, ',')) {
    const [, name, secret] = /^([^:]+):(.+)$/.exec(service) ?? []
    if (name === undefined || secret === undefined || !isServiceSecret(secret) || services.has(name)) {
      throw new ConfigError(
        'INTROSPECTION_SERVICES is not valid; it takes name:secret, each name once, ' +
          'with secrets of at least 16 characters.'
      )
    }
    services.set(name, secret)
  }
  return Object.fromEntries(services)
}

export function checked (name: string, value: string, isValid: (value: string) => boolean, accepts: string): string {
  if (!isValid(value)) throw new ConfigError(`${name} is ${quoted(value)}; it takes ${accepts}.`)
  return value
}

export function checkList (
  name: string,
  values: string[],
  isValid: (value: string) => boolean,
  accepts: string
): string[] {
  const wrong = values.find(value => !isValid(value))
  if (wrong !== undefined) throw new ConfigError(`${name} has ${quoted(wrong)}; it takes ${accepts}.`)
  return values
}

// its value is not shown: one of the two is a secret
export function parseCredential (name: string, value: string | undefined): string | undefined {
  if (value !== undefined && !isClientCredential(value)) {
    throw new ConfigError(`${name} is not valid; it takes a text without control characters.`)
  }
  return value
}

export function nextPort (port: number): number {
  // 0: any that is free
  if (port === 0) return 0
  return port === 65_535 ? port - 1 : port + 1
}

export function parseUrl (name: string, value: string | undefined): URL | undefined {
  if (value === undefined) return undefined
  if (!isSecureUrl(value)) throw new ConfigError(`${name} is ${quoted(value)}; it takes ${SECURE_URL}.`)
  return new URL(value)
}

export function parseInternalUrl (name: string, value: string | undefined): URL | undefined {
  if (value === undefined) return undefined
  if (!isInternalUrl(value)) throw new ConfigError(`${name} is ${quoted(value)}; it takes ${INTERNAL_URL}.`)
  return new URL(value)
}

export function parsePublicUrl (value: string): string {
  const url = isBaseUrl(value) ? new URL(value) : undefined
  if (url === undefined || !PUBLIC_PATH.test(url.pathname)) {
    throw new ConfigError(
      `PUBLIC_URL is ${
        quoted(value)
      }; it takes a URL such as https://mcp.example.com or https://example.com/mcp-server (http only on loopback).`
    )
  }
  return url.href.replace(/\/$/, '')
}

export function parseAllowedOrigin (value: string): string {
  // the slash at the end of a copied URL
  const origin = value.replace(/(?<=[^/])\/$/, '')
  if (!isOrigin(origin)) throw new ConfigError(`ALLOWED_ORIGINS has ${quoted(value)}; it takes ${ORIGIN}.`)
  return origin
}

export function parseTrustProxy (value: string): boolean | number | string {
  if (value === 'true' || value === 'false') return value === 'true'
  if (/^\d{1,3}$/.test(value)) return Number(value)
  return checkList(
    'TRUST_PROXY',
    value.split(',').map(address => address.trim()),
    isProxyAddress,
    'true, false, a number of hops, or addresses such as 10.0.0.0/8'
  ).join(',')
}
