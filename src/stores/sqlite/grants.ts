import { personKey } from '../../caller.js'
import type { Bus } from '../bus.js'
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
import type { SqliteDatabase } from './database/database.js'
import { ExpiringTable, toMs } from './database/expiring-table.js'
import { prepareGrants, type AccessTokenRow, type GrantRow } from './grant-statements.js'
import { jsonOf, readRecord } from './json.js'

export interface SqliteGrantStoreOptions {
  /** Where the end of a grant is announced. */
  bus?: Bus
  /** Grants, and codes, kept at all; beyond, the oldest go. Default: 100,000. */
  maxEntries?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** What is kept as JSON. */
type FixedGrant = Omit<Grant, 'sealedUpstreamTokens' | 'upstreamVersion' | 'rechecks'>

/**
 * Codes, grants and tokens. A grant's tokens go with its row, and a method is one step: what was answered stands, and
 * what stands was answered or is about to be.
 */
export class SqliteGrantStore implements GrantStore {
  readonly #database: SqliteDatabase
  readonly #bus: Bus | undefined
  readonly #codes: ExpiringTable<CodeRecord>
  readonly #max: number
  readonly #now: () => number
  readonly #sql: ReturnType<typeof prepareGrants>

  constructor (
    database: SqliteDatabase,
    { bus, maxEntries = 100_000, now = Date.now }: SqliteGrantStoreOptions = {}
  ) {
    this.#database = database
    this.#bus = bus
    this.#codes = new ExpiringTable(database, { name: 'codes', codec: jsonOf<CodeRecord>(), maxEntries, now })
    this.#max = maxEntries
    this.#now = now
    this.#sql = prepareGrants(database)
  }

  async putCode (hash: string, code: CodeRecord): Promise<void> {
    this.#codes.set(hash, code, code.expiresAt)
  }

  async findCode (hash: string): Promise<CodeRecord | undefined> {
    return this.#codes.get(hash)
  }

  async redeemCode (hash: string, tokens: IssuedTokens): Promise<Redemption> {
    const ended: string[] = []
    const redemption = this.#database.step((): Redemption => {
      const code = this.#codes.get(hash)
      if (code === undefined) return 'unknown'
      if (code.used) return 'replayed'
      const { grant } = code
      // what is remembered of a used code needs no upstream tokens
      const remembered = { ...code, grant: { ...grant, sealedUpstreamTokens: '' }, used: true }
      this.#codes.set(hash, remembered, tokens.access.record.expiresAt)
      ended.push(...this.#begin(grant))
      this.#issue(grant.grantId, tokens)
      return 'redeemed'
    })
    await this.#announce(ended)
    return redemption
  }

  async findGrant (grantId: string): Promise<Grant | undefined> {
    const [row] = this.#sql.find(grantId, this.#now())
    return row && toGrant(row)
  }

  async findGrantsOf (issuer: string, subject: string): Promise<Grant[]> {
    return this.#sql.findOf(personKey({ issuer, subject }), this.#now(), MAX_GRANTS_OF_ONE, 0).map(toGrant)
  }

  async endSurplus (issuer: string, subject: string): Promise<Grant[]> {
    const surplus = this.#database.step(() => {
      const rows = this.#sql.findOf(personKey({ issuer, subject }), this.#now(), -1, MAX_GRANTS_OF_ONE)
      const grants = rows.map(toGrant)
      for (const { grantId } of grants) this.#sql.end(grantId)
      return grants
    })
    await this.#announce(surplus.map(({ grantId }) => grantId))
    return surplus
  }

  async findAccessToken (hash: string): Promise<{ token: TokenRecord, grant: Grant } | undefined> {
    const now = this.#now()
    const [row] = this.#sql.findAccessToken(hash, now, now)
    return row && toFound(row)
  }

  async findRefreshToken (hash: string): Promise<{ token: TokenRecord, grant: Grant, rotated: boolean } | undefined> {
    const now = this.#now()
    const [row] = this.#sql.findRefreshToken(hash, now, now)
    return row && { ...toFound(row), rotated: row.rotated_at !== null }
  }

  async rotate (hash: string, tokens: IssuedTokens, repeatSeconds: number, forget = false): Promise<Rotation> {
    const rotation = this.#database.step((): Rotation => {
      const now = this.#now()
      const [row] = this.#sql.findRefreshToken(hash, now, now)
      if (row === undefined) return { outcome: 'unknown' }
      const { token, grant } = toFound(row)
      const repeatMs = toMs(repeatSeconds)
      if (row.rotated_at === null) {
        this.#sql.dropResponses(grant.grantId, now - repeatMs)
        const endsAt = forget ? Math.min(toMs(token.expiresAt), now + repeatMs) : toMs(token.expiresAt)
        this.#sql.setRotated(now, tokens.sealedResponse, endsAt, hash)
        this.#issue(grant.grantId, tokens)
        return { outcome: 'rotated' }
      }
      if (row.sealed_response !== null && isWithin(row.rotated_at, now, repeatMs)) {
        return { outcome: 'repeated', sealedResponse: row.sealed_response }
      }
      this.#sql.end(grant.grantId)
      return { outcome: 'replayed', grant }
    })
    if (rotation.outcome === 'replayed') await this.#announce([rotation.grant.grantId])
    return rotation
  }

  async replaceUpstreamTokens (grantId: string, version: number, sealed: string): Promise<boolean> {
    return this.#sql.replaceUpstreamTokens(sealed, grantId, version, this.#now()) === 1
  }

  async replaceClaims (grantId: string, rechecks: number, recheck: Recheck): Promise<boolean> {
    return this.#database.step(() => {
      const [row] = this.#sql.find(grantId, this.#now())
      if (row?.rechecks !== rechecks) return false
      const { claims, permittedScopes } = recheck
      const record = JSON.stringify({ ...readRecord<FixedGrant>(row.record), claims, permittedScopes })
      this.#sql.replaceRecord(record, rechecks + 1, grantId)
      return true
    })
  }

  async findEnded (grantIds: readonly string[]): Promise<string[]> {
    const now = this.#now()
    return grantIds.filter(grantId => this.#sql.find(grantId, now).length === 0)
  }

  async end (grantId: string): Promise<Grant | undefined> {
    const grant = this.#database.step(() => {
      const [row] = this.#sql.find(grantId, this.#now())
      if (row === undefined) return undefined
      this.#sql.end(grantId)
      return toGrant(row)
    })
    if (grant !== undefined) await this.#announce([grantId])
    return grant
  }

  /** @returns the ids of the grants that had to make room */
  #begin (grant: Grant): string[] {
    const { sealedUpstreamTokens, upstreamVersion, rechecks = 0, ...fixed } = grant
    this.#sql.add(
      grant.grantId,
      personKey(grant),
      toMs(grant.expiresAt),
      rechecks,
      JSON.stringify(fixed),
      sealedUpstreamTokens,
      upstreamVersion
    )
    const beyond = (this.#sql.count()[0]?.entries ?? 0) - this.#max
    return beyond > 0 ? this.#sql.dropOldest(beyond).map(({ grant_id: grantId }) => grantId) : []
  }

  #issue (grantId: string, { access, refresh }: IssuedTokens): void {
    this.#sql.addAccessToken(access.hash, grantId, toMs(access.record.expiresAt), JSON.stringify(access.record))
    this.#sql.dropAccessTokens(grantId, MAX_ACCESS_TOKENS_OF_GRANT)
    if (refresh === undefined) return
    this.#sql.addRefreshToken(refresh.hash, grantId, toMs(refresh.record.expiresAt), JSON.stringify(refresh.record))
    this.#sql.dropRefreshTokens(grantId, MAX_ROTATED_TOKENS_OF_GRANT + 1)
  }

  async #announce (grantIds: readonly string[]): Promise<void> {
    for (const grantId of grantIds) await this.#bus?.publish('grantEnded', { grantId })
  }
}

/** A clock that was set back a little ends nothing; one that was set back far makes nothing last longer. */
function isWithin (begin: number, now: number, ms: number): boolean {
  return Math.abs(now - begin) < ms
}

function toFound (row: AccessTokenRow): { token: TokenRecord, grant: Grant } {
  return { token: readRecord<TokenRecord>(row.token), grant: toGrant(row) }
}

function toGrant (row: GrantRow): Grant {
  return {
    ...readRecord<FixedGrant>(row.record),
    ...row.rechecks > 0 && { rechecks: row.rechecks },
    sealedUpstreamTokens: row.sealed_upstream_tokens,
    upstreamVersion: row.upstream_version
  }
}
