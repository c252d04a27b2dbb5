import type { JSONWebKeySet } from 'jose'
import { InvalidTokenError } from '../../errors.js'
import { fillTenant, readTenant, tenantNotAllowed, type Tenants } from '../upstream/tenants.js'
import type { TokenClaims } from './token-kind.js'

type Key = Readonly<Record<string, unknown>>

const NOT_FOR_US = 'The access token is invalid, has expired, or is for another resource.'

/** The keys that a token may be signed with. */
export function keysOfToken (keySet: JSONWebKeySet | undefined, kid: string | undefined): Key[] {
  const keys = keySet?.keys ?? []
  return (kid === undefined ? keys : keys.filter(key => key.kid === kid)).map(key => ({ ...key }))
}

/**
 * Who issued a verified token of a login server for many tenants. A key that names its issuer signs for that one alone:
 * Entra's set for all tenants also has keys of single ones.
 * @param template the issuer of its metadata
 * @param keys absent: the token was not verified by keys
 * @returns the issuer of the tenant
 * @throws {InvalidTokenError} if that cannot be, or its people may not come
 */
export function checkTenant (
  tenants: Tenants,
  template: string,
  claims: TokenClaims,
  keys: readonly Key[] = []
): string {
  const found = readTenant(template, claims)
  if (typeof found === 'string') throw new InvalidTokenError(NOT_FOR_US, { detail: found })
  const { issuer, tenant } = found
  const foreign = keys.find(key => typeof key.issuer === 'string' && fillTenant(key.issuer, tenant) !== issuer)
  if (foreign !== undefined) {
    throw new InvalidTokenError(NOT_FOR_US, {
      detail: `its key signs for ${String(foreign.issuer)}, but its iss is ${found.iss}`
    })
  }
  if (!tenants.allows(tenant)) throw new InvalidTokenError(NOT_FOR_US, { detail: tenantNotAllowed(tenant) })
  return issuer
}
