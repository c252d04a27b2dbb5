import { createHash, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type Person, personKey } from '../caller.js'

/** What our secrets begin with, so that people and secret scanners recognise them. */
export const PREFIXES = {
  client: 'mcpc_',
  clientSecret: 'mcps_',
  authorizationCode: 'mcpac_',
  accessToken: 'mcpat_',
  refreshToken: 'mcprt_',
  grant: 'mcpg_'
} as const

/** A new random value of 256 bits with a prefix that says what it is. */
export function newSecret (kind: keyof typeof PREFIXES): string {
  return PREFIXES[kind] + newId()
}

/** 256 random bits, as text safe in URLs, cookies and HTML. */
export function newId (): string {
  return randomBytes(32).toString('base64url')
}

/** Whether a value can be a secret of this kind; if not, no lookup is needed. */
export function isSecret (kind: keyof typeof PREFIXES, value: string): boolean {
  return value.startsWith(PREFIXES[kind]) && LENGTHS.has(value.length - PREFIXES[kind].length)
}

// random alone; with our mark; with a grant's id and an end, too (see `RecognisedSecrets`)
const LENGTHS = new Set([43, 43 + 16, 43 + 43 + 7 + 16])

/** SHA-256 in base64url: stored instead of the secret. Enough for values of full entropy. */
export function hashSecret (secret: string): string {
  return hash('sha256', secret, 'base64url')
}

/** Compares in constant time. */
export function equalSecrets (a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}

/** Names a person, whatever the client, without revealing who it is: for stored consents, and in the browser. */
export function personHash (person: Pick<Person, 'issuer' | 'subject'>): string {
  return hashSecret(personKey(person))
}
