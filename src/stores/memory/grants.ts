import { MAX_GRANTS_OF_ONE, type CodeRecord, type Grant, type GrantStore, type IssuedTokens, type Redemption, type Rotation, type TokenRecord } from '../grants.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

interface RefreshToken {
  token: TokenRecord
  /** Set by its rotation; `at` is epoch seconds. */
  successor?: { at: number, sealedResponse: string }
}

/** Codes, grants and tokens of a single process. Tokens of an ended grant find no grant, and are swept when they expire. */
export class MemoryGrantStore implements GrantStore {
  readonly #codes: ExpiringMap<CodeRecord>
  readonly #grants: ExpiringMap<Grant>
  readonly #accessTokens: ExpiringMap<TokenRecord>
  readonly #refreshTokens: ExpiringMap<RefreshToken>
  readonly #now: () => number

  constructor (options: ExpiringMapOptions = {}) {
    const tokens = { ...options, maxEntries: options.maxEntries ?? 1_000_000 }
    this.#codes = new ExpiringMap(options)
    this.#grants = new ExpiringMap(options)
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
    this.#grants.set(code.grant.grantId, code.grant, code.grant.expiresAt)
    this.#issue(tokens)
    return 'redeemed'
  }

  async findGrant (grantId: string): Promise<Grant | undefined> {
    return structuredClone(this.#grants.get(grantId))
  }

  async findGrantsOf (issuer: string, subject: string): Promise<Grant[]> {
    const own = [...this.#grants.values()].filter(grant => grant.issuer === issuer && grant.subject === subject)
    return structuredClone(own.sort((a, b) => b.expiresAt - a.expiresAt).slice(0, MAX_GRANTS_OF_ONE))
  }

  async findAccessToken (hash: string): Promise<{ token: TokenRecord, grant: Grant } | undefined> {
    const token = this.#accessTokens.get(hash)
    const grant = token && this.#grants.get(token.grantId)
    return grant && structuredClone({ token, grant })
  }

  async findRefreshToken (hash: string): Promise<{ token: TokenRecord, grant: Grant, rotated: boolean } | undefined> {
    const found = this.#refreshTokens.get(hash)
    const grant = found && this.#grants.get(found.token.grantId)
    return grant && structuredClone({ token: found.token, grant, rotated: found.successor !== undefined })
  }

  async rotate (hash: string, tokens: IssuedTokens, repeatSeconds: number): Promise<Rotation> {
    const found = this.#refreshTokens.get(hash)
    const grant = found && this.#grants.get(found.token.grantId)
    if (found === undefined || grant === undefined) return { outcome: 'unknown' }
    const now = this.#now() / 1000
    if (found.successor === undefined) {
      found.successor = { at: now, sealedResponse: tokens.sealedResponse }
      this.#issue(tokens)
      return { outcome: 'rotated' }
    }
    if (now < found.successor.at + repeatSeconds) return { outcome: 'repeated', sealedResponse: found.successor.sealedResponse }
    this.#grants.take(grant.grantId)
    return { outcome: 'replayed', grant }
  }

  async replaceUpstreamTokens (grantId: string, version: number, sealed: string): Promise<boolean> {
    const grant = this.#grants.get(grantId)
    if (grant === undefined || grant.upstreamVersion !== version) return false
    grant.sealedUpstreamTokens = sealed
    grant.upstreamVersion++
    return true
  }

  async end (grantId: string): Promise<Grant | undefined> {
    return this.#grants.take(grantId)
  }

  /** Stops the housekeeping. */
  close (): void {
    for (const map of [this.#codes, this.#grants, this.#accessTokens, this.#refreshTokens]) map.close()
  }

  #issue ({ access, refresh }: IssuedTokens): void {
    this.#accessTokens.set(access.hash, access.record, access.record.expiresAt)
    if (refresh !== undefined) this.#refreshTokens.set(refresh.hash, { token: refresh.record }, refresh.record.expiresAt)
  }
}
