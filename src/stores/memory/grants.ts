import { personKey } from '../../caller.js'
import {
  MAX_ACCESS_TOKENS_OF_GRANT,
  MAX_GRANTS_OF_ONE,
  MAX_ROTATED_TOKENS_OF_GRANT,
  type CodeRecord,
  type Grant,
  type GrantStore,
  type IssuedTokens,
  type Recheck,
  type Redemption,
  type Rotation,
  type TokenRecord
} from '../grants.js'
import type { Bus } from '../bus.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

interface RefreshToken {
  token: TokenRecord
  /** Set by its rotation; `at` is epoch seconds. No response is kept when it is not given any longer. */
  successor?: { at: number, sealedResponse?: string }
}

/** A grant with the hashes of its tokens: they go with it. */
interface Family {
  grant: Grant
  /** The oldest first. */
  accessTokens: string[]
  /** The oldest first; the newest was not rotated. */
  refreshTokens: Set<string>
}

/**
 * Codes, grants and tokens of a single process. Tokens are bounded by their grant, and grants by their person: nobody's
 * growth makes another's go.
 */
export class MemoryGrantStore implements GrantStore {
  readonly #bus: Bus | undefined
  readonly #codes: ExpiringMap<CodeRecord>
  readonly #families: ExpiringMap<Family>
  readonly #accessTokens: ExpiringMap<TokenRecord>
  readonly #refreshTokens: ExpiringMap<RefreshToken>
  /** Ids of a person's grants. */
  readonly #grantsOf = new Map<string, Set<string>>()
  readonly #now: () => number

  /** @param options.bus where the end of a grant is announced */
  constructor ({ bus, ...options }: ExpiringMapOptions & { bus?: Bus } = {}) {
    this.#bus = bus
    const tokens = { ...options, maxEntries: options.maxEntries ?? 1_000_000 }
    this.#codes = new ExpiringMap(options)
    this.#families = new ExpiringMap(options, family => { this.#forget(family) })
    this.#accessTokens = new ExpiringMap(tokens)
    this.#refreshTokens = new ExpiringMap(tokens)
    this.#now = options.now ?? Date.now
  }

  async putCode (hash: string, code: CodeRecord): Promise<void> {
    this.#codes.set(hash, structuredClone(code), code.expiresAt)
  }

  async findCode (hash: string): Promise<CodeRecord | undefined> {
    return structuredClone(this.#codes.get(hash))
  }

  async redeemCode (hash: string, tokens: IssuedTokens): Promise<Redemption> {
    const code = this.#codes.get(hash)
    if (code === undefined) return 'unknown'
    if (code.used) return 'replayed'
    this.#codes.set(hash, { ...code, used: true }, tokens.access.record.expiresAt)
    const family: Family = { grant: code.grant, accessTokens: [], refreshTokens: new Set() }
    const { grantId, expiresAt } = code.grant
    this.#families.set(grantId, family, expiresAt)
    const person = personKey(code.grant)
    const ids = this.#grantsOf.get(person) ?? new Set()
    this.#grantsOf.set(person, ids.add(grantId))
    this.#issue(family, tokens)
    return 'redeemed'
  }

  async findGrant (grantId: string): Promise<Grant | undefined> {
    return structuredClone(this.#families.get(grantId)?.grant)
  }

  async findGrantsOf (issuer: string, subject: string): Promise<Grant[]> {
    return structuredClone(this.#of(issuer, subject).slice(0, MAX_GRANTS_OF_ONE))
  }

  async endSurplus (issuer: string, subject: string): Promise<Grant[]> {
    const surplus = this.#of(issuer, subject).slice(MAX_GRANTS_OF_ONE)
    await Promise.all(surplus.map(({ grantId }) => this.end(grantId)))
    return surplus
  }

  async findAccessToken (hash: string): Promise<{ token: TokenRecord, grant: Grant } | undefined> {
    const token = this.#accessTokens.get(hash)
    const family = token && this.#families.get(token.grantId)
    return family && structuredClone({ token, grant: family.grant })
  }

  async findRefreshToken (hash: string): Promise<{ token: TokenRecord, grant: Grant, rotated: boolean } | undefined> {
    const found = this.#refreshTokens.get(hash)
    const family = found && this.#families.get(found.token.grantId)
    return family &&
      structuredClone({ token: found.token, grant: family.grant, rotated: found.successor !== undefined })
  }

  async rotate (hash: string, tokens: IssuedTokens, repeatSeconds: number, forget = false): Promise<Rotation> {
    const found = this.#refreshTokens.get(hash)
    const family = found && this.#families.get(found.token.grantId)
    if (found === undefined || family === undefined) return { outcome: 'unknown' }
    const now = this.#now() / 1000
    const { token, successor } = found
    if (successor === undefined) {
      this.#dropResponses(family, now, repeatSeconds)
      const end = forget ? Math.min(token.expiresAt, now + repeatSeconds) : token.expiresAt
      this.#refreshTokens.set(hash, { token, successor: { at: now, sealedResponse: tokens.sealedResponse } }, end)
      this.#issue(family, tokens)
      return { outcome: 'rotated' }
    }
    const { at, sealedResponse } = successor
    if (sealedResponse !== undefined && now < at + repeatSeconds) return { outcome: 'repeated', sealedResponse }
    await this.end(family.grant.grantId)
    return { outcome: 'replayed', grant: family.grant }
  }

  async replaceUpstreamTokens (grantId: string, version: number, sealed: string): Promise<boolean> {
    const grant = this.#families.get(grantId)?.grant
    if (grant === undefined || grant.upstreamVersion !== version) return false
    grant.sealedUpstreamTokens = sealed
    grant.upstreamVersion++
    return true
  }

  async replaceClaims (grantId: string, rechecks: number, recheck: Recheck): Promise<boolean> {
    const grant = this.#families.get(grantId)?.grant
    if (grant === undefined || (grant.rechecks ?? 0) !== rechecks) return false
    Object.assign(grant, structuredClone(recheck), { rechecks: rechecks + 1 })
    return true
  }

  async findEnded (grantIds: readonly string[]): Promise<string[]> {
    return grantIds.filter(grantId => this.#families.get(grantId) === undefined)
  }

  async end (grantId: string): Promise<Grant | undefined> {
    const grant = this.#families.take(grantId)?.grant
    if (grant !== undefined) await this.#bus?.publish('grantEnded', { grantId })
    return grant
  }

  /** Stops the housekeeping. */
  close (): void {
    for (const map of [this.#codes, this.#families, this.#accessTokens, this.#refreshTokens]) map.close()
  }

  /** The grants of a person, those that end last first. */
  #of (issuer: string, subject: string): Grant[] {
    const ids = [...this.#grantsOf.get(personKey({ issuer, subject })) ?? []]
    const grants = ids.map(id => this.#families.get(id)?.grant).filter(grant => grant !== undefined)
    // of two that end in the same second, the newer one stays
    return grants.reverse().sort((a, b) => b.expiresAt - a.expiresAt)
  }

  #issue (family: Family, { access, refresh }: IssuedTokens): void {
    this.#accessTokens.set(access.hash, access.record, access.record.expiresAt)
    family.accessTokens.push(access.hash)
    for (const oldest of family.accessTokens.splice(0, family.accessTokens.length - MAX_ACCESS_TOKENS_OF_GRANT)) {
      this.#accessTokens.take(oldest)
    }
    if (refresh === undefined) return
    this.#refreshTokens.set(refresh.hash, { token: refresh.record }, refresh.record.expiresAt)
    family.refreshTokens.add(refresh.hash)
    for (const oldest of family.refreshTokens) {
      if (family.refreshTokens.size <= MAX_ROTATED_TOKENS_OF_GRANT + 1) break
      this.#refreshTokens.take(oldest)
      family.refreshTokens.delete(oldest)
    }
  }

  /** Lets go of responses that are not given again, and of tokens that are gone. */
  #dropResponses ({ refreshTokens }: Family, now: number, repeatSeconds: number): void {
    for (const hash of refreshTokens) {
      const found = this.#refreshTokens.get(hash)
      if (found === undefined) refreshTokens.delete(hash)
      else if (found.successor !== undefined && now >= found.successor.at + repeatSeconds) {
        delete found.successor.sealedResponse
      }
    }
  }

  /** Of a grant that is gone nothing stays. */
  #forget ({ grant, accessTokens, refreshTokens }: Family): void {
    for (const hash of accessTokens) this.#accessTokens.take(hash)
    for (const hash of refreshTokens) this.#refreshTokens.take(hash)
    const person = personKey(grant)
    const ids = this.#grantsOf.get(person)
    ids?.delete(grant.grantId)
    if (ids?.size === 0) this.#grantsOf.delete(person)
  }
}
