import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import {
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  errors as jose,
  jwtVerify,
  type JWTVerifyOptions
} from 'jose'
import { InvalidClientError } from '../../errors.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import { ASSERTION_ALGORITHMS, toAssertionAlgorithm, type Client } from '../client.js'
import type { KeySets, LocalKeySet } from '../client-documents/key-sets.js'
import { hashSecret, newId } from '../secrets.js'

/** The only `client_assertion_type` (RFC 7523 2.2). */
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

export interface ClientAssertionsOptions {
  issuer: string
  keySets: KeySets
  leases: LeaseStore
  now: () => number
}

/** What the verification of an assertion may cost. What they throw is the response. */
export interface AssertionCosts {
  /** Called before somebody else is asked. */
  beforeFetch: () => Promise<void>
  /** Called before something is kept. */
  beforeKeeping: () => Promise<void>
  /** Fetches the client's metadata again, if that was not done a moment ago. */
  renewClient: () => Promise<Client>
}

const MAX_ASSERTION = 8192
const MAX_LIFE_SECONDS = 3600
const CLOCK_TOLERANCE_SECONDS = 30
const MAX_TRIED_KEYS = 10

const ClaimsSchema = Type.Object({
  iss: Type.String(),
  sub: Type.String(),
  aud: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: 10 })]),
  exp: Type.Number(),
  iat: Type.Optional(Type.Number()),
  nbf: Type.Optional(Type.Number()),
  jti: Type.String({ minLength: 1, maxLength: 500 })
})
type Claims = Static<typeof ClaimsSchema>

/** The client that an assertion says it is from; undefined if it says nothing. Nothing is verified. */
export function claimedClientId (assertion: string): string | undefined {
  try {
    return assertion.length > MAX_ASSERTION ? undefined : decodeJwt(assertion).sub
  } catch {
    return undefined
  }
}

/** Verifies client assertions: `private_key_jwt` (RFC 7523 3, OpenID Connect Core 9). */
export class ClientAssertions {
  readonly #options: ClientAssertionsOptions
  readonly #audiences: ReadonlySet<string>

  constructor (options: ClientAssertionsOptions) {
    const { issuer } = options
    this.#options = options
    this.#audiences = new Set([issuer, `${issuer}/`, `${issuer}/token`])
  }

  /**
   * Verifies an assertion, and uses it up.
   * @throws {InvalidClientError} if it is not valid, or was used before
   * @throws {TemporarilyUnavailableError} if the client's keys, or the store, cannot be reached
   */
  async verify (assertion: string, client: Client, costs: AssertionCosts): Promise<void> {
    const { leases, now } = this.#options
    checkMethod(client)
    const { alg, kid } = readHeader(assertion, client)
    const claims = this.#readClaims(assertion, client)
    await this.#checkSignature({ assertion, alg, hasKid: kid !== undefined }, client, costs)
    await costs.beforeKeeping()
    const hash = hashSecret(JSON.stringify([client.clientId, claims.jti]))
    // for as long as a replica whose clock is late may accept it
    const lifeMs = (claims.exp + 2 * CLOCK_TOLERANCE_SECONDS) * 1000 - now()
    if (!await leases.acquire(leaseNames.clientAssertion(hash), newId(), lifeMs)) {
      throw new InvalidClientError(
        'This client assertion was used before. Sign a new one with another jti for each request.',
        { reason: 'client_assertion_used_twice' }
      )
    }
  }

  /** The claims, if we may accept them. Nothing is said about who signed them. */
  #readClaims (assertion: string, { clientId }: Client): Claims {
    const claims: unknown = readPart(assertion, decodeJwt)
    if (!Value.Check(ClaimsSchema, claims)) {
      const member = Value.Errors(ClaimsSchema, claims).First()?.path.split('/')[1] ?? ''
      throw refusal(`its ${member} is missing or wrong. It needs iss, sub, aud, exp and jti (1 to 500 characters)`)
    }
    const { iss, sub, aud } = claims
    if (iss !== clientId || sub !== clientId) throw refusal('its iss and sub must both be the client_id')
    const audiences = typeof aud === 'string' ? [aud] : aud
    if (!audiences.every(audience => this.#audiences.has(audience))) {
      const { issuer } = this.#options
      throw refusal(`its aud must be ${issuer} or ${issuer}/token, and nothing else`)
    }
    this.#checkTimes(claims)
    return claims
  }

  #checkTimes ({ exp, iat = 0, nbf = 0 }: Claims): void {
    const now = this.#options.now() / 1000
    if (exp + CLOCK_TOLERANCE_SECONDS <= now) {
      throw refusal('it has expired. Sign a new one for each request; are the clocks right?')
    }
    if (exp > now + MAX_LIFE_SECONDS + CLOCK_TOLERANCE_SECONDS) {
      throw refusal('its exp must be at most an hour away')
    }
    if (iat > now + CLOCK_TOLERANCE_SECONDS || nbf > now + CLOCK_TOLERANCE_SECONDS) {
      throw refusal('its iat or nbf is in the future; are the clocks right?')
    }
  }

  async #checkSignature (signed: Signed, client: Client, costs: AssertionCosts): Promise<void> {
    for await (const keys of this.#findKeys(client, costs)) {
      if (await this.#isSigned(signed, keys)) return
    }
    throw refusal('none of the keys of the client fits. Is its public key, with the kid of the assertion, published?')
  }

  /** The keys of a client; if none fits, what is published now, and at last by metadata that are fetched again. */
  async * #findKeys (client: Client, costs: AssertionCosts): AsyncGenerator<LocalKeySet> {
    const { keySets } = this.#options
    const { jwks_uri: uri } = client.metadata
    yield await this.#currentKeys(client, costs)
    if (uri !== undefined && keySets.mayRenew(uri)) {
      await costs.beforeFetch()
      yield await keySets.renew(uri)
    }
    const renewed = await costs.renewClient()
    if (!namesOtherKeys(renewed, client)) return
    checkMethod(renewed)
    yield await this.#currentKeys(renewed, costs)
  }

  async #currentKeys (client: Client, { beforeFetch }: AssertionCosts): Promise<LocalKeySet> {
    const { keySets } = this.#options
    const { jwks_uri: uri } = client.metadata
    if (uri === undefined) return ownKeys(client)
    if (!keySets.isKnown(uri)) await beforeFetch()
    return await keySets.get(uri)
  }

  /** @returns false if no key fits @throws {InvalidClientError} if the signature is wrong */
  async #isSigned ({ assertion, alg, hasKid }: Signed, keys: LocalKeySet): Promise<boolean> {
    const options: JWTVerifyOptions = {
      algorithms: [alg],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(this.#options.now())
    }
    try {
      await jwtVerify(assertion, keys, options)
      return true
    } catch (error) {
      if (error instanceof jose.JWKSMultipleMatchingKeys) return await isSignedByAny(assertion, error, options)
      if (error instanceof jose.JWKSNoMatchingKey) return false
      if (error instanceof jose.JWSSignatureVerificationFailed && !hasKid) return false
      throw refusal(error instanceof jose.JWSSignatureVerificationFailed
        ? 'its signature does not fit the key that its kid names'
        : 'it is not a valid JWT', error)
    }
  }
}

interface Signed {
  assertion: string
  alg: string
  hasKid: boolean
}

async function isSignedByAny (
  assertion: string,
  keys: jose.JWKSMultipleMatchingKeys,
  options: JWTVerifyOptions
): Promise<boolean> {
  let tried = 0
  for await (const key of keys) {
    if (tried++ >= MAX_TRIED_KEYS) return false
    try {
      await jwtVerify(assertion, key, options)
      return true
    } catch (error) {
      if (!(error instanceof jose.JWSSignatureVerificationFailed)) throw refusal('it is not a valid JWT', error)
    }
  }
  return false
}

function checkMethod ({ metadata: { jwks, jwks_uri: uri } }: Client): void {
  if (jwks === undefined && uri === undefined) {
    throw refusal('this client did not register private_key_jwt with its keys (jwks_uri or jwks)')
  }
}

/** The header, if we accept its algorithm. */
function readHeader (assertion: string, { metadata }: Client): { alg: string, kid: string | undefined } {
  if (assertion.length > MAX_ASSERTION) throw refusal(`it is longer than ${MAX_ASSERTION} characters`)
  const { alg, kid } = readPart(assertion, decodeProtectedHeader)
  const { token_endpoint_auth_signing_alg: only } = metadata
  const allowed = only === undefined ? ASSERTION_ALGORITHMS : [only]
  const known = toAssertionAlgorithm(alg)
  if (alg === undefined || known === undefined || !allowed.includes(known)) {
    throw refusal(`it must be signed with ${allowed.join(', ')}`)
  }
  return { alg, kid }
}

function readPart<Part> (assertion: string, decode: (assertion: string) => Part): Part {
  try {
    return decode(assertion)
  } catch (error) {
    throw refusal('it is not a valid JWT', error)
  }
}

const ownKeySets = new WeakMap<object, LocalKeySet>()

/** The keys in the metadata of a client. */
function ownKeys ({ metadata: { jwks = { keys: [] } } }: Client): LocalKeySet {
  const known = ownKeySets.get(jwks)
  if (known !== undefined) return known
  const keys = createLocalJWKSet(jwks)
  ownKeySets.set(jwks, keys)
  return keys
}

function namesOtherKeys ({ metadata: a }: Client, { metadata: b }: Client): boolean {
  return a.jwks_uri !== b.jwks_uri || JSON.stringify(a.jwks) !== JSON.stringify(b.jwks)
}

function refusal (why: string, cause?: unknown): InvalidClientError {
  return new InvalidClientError(`The client assertion is not valid: ${why}.`, {
    reason: 'invalid_client_assertion',
    cause,
    ...cause !== undefined && { detail: String(cause) }
  })
}
