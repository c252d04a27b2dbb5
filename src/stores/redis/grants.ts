import { createHash } from 'node:crypto'
import {
  MAX_GRANTS_OF_ONE,
  type CodeRecord,
  type Grant,
  type GrantStore,
  type IssuedTokens,
  type Recheck,
  type Redemption,
  type Rotation,
  type TokenRecord
} from '../grants.js'
import type { RedisBus } from './bus/bus.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { grantScripts, type StoredGrant, type TokenArguments } from './scripts/grants.js'
import { parseRecord } from '../../parse-record.js'

type Kind = 'code' | 'access' | 'refresh'

/** What is kept as JSON. */
type FixedGrant = Omit<Grant, 'sealedUpstreamTokens' | 'upstreamVersion'>

const KEY_OF = { code: 'grantCode', access: 'grantAccess', refresh: 'grantRefresh' } as const
const POINTER_OF = { code: 'codePointer', access: 'accessPointer', refresh: 'refreshPointer' } as const

/**
 * Codes, grants and tokens of all replicas. Everything that belongs to a grant stands under its id as hash tag, so that
 * one script changes it all; a code or token is found by a pointer from its hash to its grant. A pointer alone is worth
 * nothing: what it leads to must stand under the grant.
 */
export class RedisGrantStore implements GrantStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker
  readonly #bus: RedisBus

  constructor (connection: RedisConnection, keys: KeyMaker, bus: RedisBus) {
    this.#connection = connection
    this.#keys = keys
    this.#bus = bus
    connection.define(grantScripts)
  }

  async putCode (hash: string, code: CodeRecord): Promise<void> {
    const { grant, used, ...rest } = code
    const { sealedUpstreamTokens, upstreamVersion, ...fixed } = grant
    const key = this.#tokenKey(grant.grantId, 'code', hash)
    await this.#point('code', hash, grant.grantId, code.expiresAt)
    await this.#connection.run(redis =>
      redis.mcpPutCode(
        key,
        JSON.stringify(rest),
        JSON.stringify(fixed),
        sealedUpstreamTokens,
        upstreamVersion,
        toMs(grant.expiresAt),
        toMs(code.expiresAt)
      )
    )
  }

  async findCode (hash: string): Promise<CodeRecord | undefined> {
    const grantId = await this.#findGrantId('code', hash)
    if (grantId === null) return undefined
    const found = await this.#connection.run(redis => redis.mcpFindCode(this.#tokenKey(grantId, 'code', hash)))
    if (found === null) return undefined
    const [code, used, ...grant] = found
    return { ...parseRecord<Omit<CodeRecord, 'grant' | 'used'>>(code), grant: toGrant(grant), used: used !== null }
  }

  async redeemCode (hash: string, tokens: IssuedTokens): Promise<Redemption> {
    const grantId = await this.#findGrantId('code', hash)
    if (grantId === null) return 'unknown'
    const begun = await this.findCode(hash)
    if (begun === undefined) return 'unknown'
    const expiresAt = tokens.access.record.expiresAt
    await Promise.all([
      this.#connection.run(redis => redis.pexpireat(this.#pointer('code', hash), toMs(expiresAt))),
      ...this.#pointAt(tokens, grantId),
      ...begun.used ? [] : [this.#list(begun.grant)]
    ])
    const [outcome, issued, dropped] = await this.#connection.run(redis =>
      redis.mcpRedeemCode(
        this.#tokenKey(grantId, 'code', hash),
        this.#grant(grantId),
        ...this.#issuedKeys(grantId, tokens),
        ...toArguments(tokens)
      )
    )
    if (issued === 0) await this.#unpoint(tokens)
    await this.#unpointDropped(dropped ?? [])
    return outcome
  }

  async findGrant (grantId: string): Promise<Grant | undefined> {
    const found = await this.#connection.run(redis => redis.mcpFindGrant(this.#grant(grantId)))
    return found === null ? undefined : toGrant(found)
  }

  async findGrantsOf (issuer: string, subject: string): Promise<Grant[]> {
    const ids = await this.#connection.run(redis =>
      redis.zrevrange(this.#person({ issuer, subject }), 0, MAX_GRANTS_OF_ONE - 1)
    )
    const grants = await Promise.all(ids.map(async grantId => await this.findGrant(grantId)))
    return grants.filter(grant => grant !== undefined)
  }

  async endSurplus (issuer: string, subject: string): Promise<Grant[]> {
    const ids = await this.#connection.run(redis =>
      redis.zrange(this.#person({ issuer, subject }), '0', String(-MAX_GRANTS_OF_ONE - 1))
    )
    const ended = await Promise.all(ids.map(async grantId => await this.end(grantId)))
    // what had ended before, and is listed still, would stand in the way of what has not
    if (ids.length > 0) await this.#connection.run(redis => redis.zrem(this.#person({ issuer, subject }), ...ids))
    return ended.filter(grant => grant !== undefined)
  }

  async findAccessToken (hash: string): Promise<{ token: TokenRecord, grant: Grant } | undefined> {
    const grantId = await this.#findGrantId('access', hash)
    if (grantId === null) return undefined
    const found = await this.#connection.run(redis =>
      redis.mcpFindAccessToken(this.#grant(grantId), this.#tokenKey(grantId, 'access', hash))
    )
    if (found === null) return undefined
    const [token, ...grant] = found
    return { token: parseRecord(token), grant: toGrant(grant) }
  }

  async findRefreshToken (hash: string): Promise<{ token: TokenRecord, grant: Grant, rotated: boolean } | undefined> {
    const grantId = await this.#findGrantId('refresh', hash)
    if (grantId === null) return undefined
    const found = await this.#connection.run(redis =>
      redis.mcpFindRefreshToken(this.#grant(grantId), this.#tokenKey(grantId, 'refresh', hash))
    )
    if (found === null) return undefined
    const [token, rotated, ...grant] = found
    return { token: parseRecord(token), grant: toGrant(grant), rotated: rotated === 1 }
  }

  async rotate (hash: string, tokens: IssuedTokens, repeatSeconds: number, forget = false): Promise<Rotation> {
    const grantId = await this.#findGrantId('refresh', hash)
    if (grantId === null) return { outcome: 'unknown' }
    await Promise.all(this.#pointAt(tokens, grantId))
    const repeatMs = Math.max(1, Math.ceil(repeatSeconds * 1000))
    const rotation = await this.#connection.run(redis =>
      redis.mcpRotate(
        this.#tokenKey(grantId, 'refresh', hash),
        this.#grant(grantId),
        ...this.#issuedKeys(grantId, tokens),
        ...toArguments(tokens),
        tokens.sealedResponse,
        repeatMs,
        forget ? 1 : 0,
        hash,
        ...this.#bus.announcement('grantEnded', { grantId })
      )
    )
    if (rotation[1] === 0) await this.#unpoint(tokens)
    switch (rotation[0]) {
      case 'rotated':
        await this.#unpointDropped(rotation[2])
        // without what it leads to, a pointer is worth nothing; it goes by its own end at the latest
        if (forget) {
          await this.#connection.run(redis => redis.pexpire(this.#pointer('refresh', hash), repeatMs)).catch(() => {})
        }
        return { outcome: 'rotated' }
      case 'repeated':
        return { outcome: 'repeated', sealedResponse: rotation[2] }
      case 'replayed':
        return { outcome: 'replayed', grant: this.#ended(toGrant([rotation[2], rotation[3], rotation[4]])) }
      default:
        return { outcome: rotation[0] }
    }
  }

  async replaceUpstreamTokens (grantId: string, version: number, sealed: string): Promise<boolean> {
    return await this.#connection.run(redis =>
      redis.mcpReplaceUpstreamTokens(this.#grant(grantId), version, sealed)
    ) === 1
  }

  async replaceClaims (grantId: string, rechecks: number, recheck: Recheck): Promise<boolean> {
    const key = this.#grant(grantId)
    const found = await this.#connection.run(redis => redis.mcpFindGrant(key))
    if (found === null) return false
    const grant = parseRecord<FixedGrant>(found[0])
    if ((grant.rechecks ?? 0) !== rechecks) return false
    const replaced = JSON.stringify({ ...grant, ...recheck, rechecks: rechecks + 1 })
    return await this.#connection.run(redis => redis.mcpReplaceGrant(key, found[0], replaced)) === 1
  }

  async findEnded (grantIds: readonly string[]): Promise<string[]> {
    const found = await Promise.all(grantIds.map(async grantId =>
      await this.#connection.run(redis => redis.exists(this.#grant(grantId)))))
    return grantIds.filter((_, index) => found[index] === 0)
  }

  async end (grantId: string): Promise<Grant | undefined> {
    const ended = await this.#connection.run(redis =>
      redis.mcpEndGrant(this.#grant(grantId), ...this.#bus.announcement('grantEnded', { grantId }))
    )
    return ended === null ? undefined : this.#ended(toGrant(ended))
  }

  #grant (grantId: string): string {
    return this.#keys.make('grant', grantId)
  }

  /** The list of a person's grants. */
  #person ({ issuer, subject }: Pick<Grant, 'issuer' | 'subject'>): string {
    const tag = createHash('sha256').update(JSON.stringify([issuer, subject])).digest('base64url')
    return this.#keys.make('grantsOfPerson', tag)
  }

  async #list (grant: Grant): Promise<void> {
    await this.#connection.run(redis => redis.mcpListGrant(this.#person(grant), grant.grantId, toMs(grant.expiresAt)))
  }

  /** Takes a grant that has ended off the list; the script has informed the replicas that listen. */
  #ended (grant: Grant): Grant {
    this.#bus.announced('grantEnded', { grantId: grant.grantId })
    // what is on the list and does not stand is not shown, and goes when the grant would have ended
    this.#connection.run(redis => redis.zrem(this.#person(grant), grant.grantId)).catch(() => {})
    return grant
  }

  #tokenKey (grantId: string, kind: Kind, hash: string): string {
    return this.#keys.make(KEY_OF[kind], grantId, hash)
  }

  // if there is no refresh token, nothing is written to its key
  #issuedKeys (grantId: string, { access, refresh = access }: IssuedTokens): [string, string] {
    return [this.#tokenKey(grantId, 'access', access.hash), this.#tokenKey(grantId, 'refresh', refresh.hash)]
  }

  #pointer (kind: Kind, hash: string): string {
    return this.#keys.make(POINTER_OF[kind], hash)
  }

  async #findGrantId (kind: Kind, hash: string): Promise<string | null> {
    return await this.#connection.run(redis => redis.get(this.#pointer(kind, hash)))
  }

  async #point (kind: Kind, hash: string, grantId: string, expiresAt: number): Promise<void> {
    await this.#connection.run(redis => redis.set(this.#pointer(kind, hash), grantId, 'PXAT', toMs(expiresAt)))
  }

  /** Pointers come before what they lead to: a token is found as soon as it stands. */
  #pointAt ({ access, refresh }: IssuedTokens, grantId: string): Array<Promise<void>> {
    return [
      this.#point('access', access.hash, grantId, access.record.expiresAt),
      ...refresh === undefined ? [] : [this.#point('refresh', refresh.hash, grantId, refresh.record.expiresAt)]
    ]
  }

  /** Takes back pointers to access tokens that gave way to newer ones. */
  async #unpointDropped (hashes: readonly string[]): Promise<void> {
    await Promise.all(
      hashes.map(async hash => await this.#connection.run(redis => redis.del(this.#pointer('access', hash))))
    ).catch(() => {}) // they expire
  }

  /** Takes back pointers to tokens that were not issued. */
  async #unpoint ({ access, refresh }: IssuedTokens): Promise<void> {
    await Promise.all([
      this.#connection.run(redis => redis.del(this.#pointer('access', access.hash))),
      refresh && this.#connection.run(redis => redis.del(this.#pointer('refresh', refresh.hash)))
    ]).catch(() => {}) // they expire
  }
}

function toMs (epochSeconds: number): number {
  return Math.max(1, Math.ceil(epochSeconds * 1000))
}

function toArguments ({ access, refresh }: IssuedTokens): TokenArguments {
  return [
    JSON.stringify(access.record),
    toMs(access.record.expiresAt),
    access.hash,
    refresh === undefined ? '' : JSON.stringify(refresh.record),
    refresh === undefined ? 0 : toMs(refresh.record.expiresAt)
  ]
}

function toGrant ([json, sealedUpstreamTokens, upstreamVersion]: StoredGrant): Grant {
  return {
    ...parseRecord<FixedGrant>(json),
    sealedUpstreamTokens,
    upstreamVersion: Number(upstreamVersion)
  }
}
