import { createHash } from 'node:crypto'
import type { Result } from 'ioredis'
import { MAX_GRANTS_OF_ONE, type CodeRecord, type Grant, type GrantStore, type IssuedTokens, type Redemption, type Rotation, type TokenRecord } from '../grants.js'
import type { RedisConnection } from './connection.js'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpPutCode (code: string, json: string, grant: string, sealedUpstreamTokens: string, upstreamVersion: number, grantExpiresAtMs: number, expiresAtMs: number): Result<number, Context>
    mcpFindCode (code: string): Result<[json: string, used: string | null, ...grant: StoredGrant] | null, Context>
    mcpRedeemCode (code: string, grant: string, access: string, refresh: string, ...tokens: TokenArguments): Result<[outcome: Redemption, issued: number], Context>
    mcpFindGrant (grant: string): Result<StoredGrant | null, Context>
    mcpFindAccessToken (grant: string, access: string): Result<[token: string, ...grant: StoredGrant] | null, Context>
    mcpFindRefreshToken (grant: string, refresh: string): Result<[token: string, rotated: number, ...grant: StoredGrant] | null, Context>
    mcpRotate (old: string, grant: string, access: string, refresh: string, ...tokens: [...TokenArguments, sealedResponse: string, repeatSeconds: number]): Result<StoredRotation, Context>
    mcpReplaceUpstreamTokens (grant: string, version: number, sealed: string): Result<number, Context>
    mcpListGrant (person: string, grantId: string, expiresAtMs: number): Result<number, Context>
    mcpEndGrant (grant: string): Result<StoredGrant | null, Context>
  }
}

/** The grant as JSON, but for what changes. */
type StoredGrant = [grant: string, sealedUpstreamTokens: string, upstreamVersion: string]

type TokenArguments = [access: string, accessExpiresAtMs: number, refresh: string, refreshExpiresAtMs: number]

/** `issued`: whether the tokens stand by now, of this or of an earlier call. */
type StoredRotation =
  | [outcome: 'rotated' | 'unknown', issued: number]
  | [outcome: 'repeated', issued: number, sealedResponse: string]
  | [outcome: 'replayed', issued: number, ...grant: StoredGrant]

type Kind = 'code' | 'access' | 'refresh'

// ids kept for one person, those of ended grants included
const MAX_LISTED = 1000

const GRANT = `
  local function grantOf (key)
    local grant = redis.call('HMGET', key, 'json', 'sealedUpstreamTokens', 'upstreamVersion')
    if grant[1] then return grant end
  end`

// KEYS: …, access, refresh. ARGV: access, its end, refresh or '', its end
const ISSUE = `
  local function issue ()
    redis.call('SET', KEYS[3], ARGV[1])
    redis.call('PEXPIREAT', KEYS[3], ARGV[2])
    if ARGV[3] == '' then return end
    redis.call('HSET', KEYS[4], 'json', ARGV[3])
    redis.call('PEXPIREAT', KEYS[4], ARGV[4])
  end`

const scripts = {
  mcpPutCode: {
    numberOfKeys: 1,
    lua: `
      redis.call('DEL', KEYS[1])
      redis.call('HSET', KEYS[1], 'code', ARGV[1], 'json', ARGV[2], 'sealedUpstreamTokens', ARGV[3], 'upstreamVersion', ARGV[4], 'grantExpiresAtMs', ARGV[5])
      return redis.call('PEXPIREAT', KEYS[1], ARGV[6])`
  },
  mcpFindCode: {
    numberOfKeys: 1,
    lua: `
      local code = redis.call('HMGET', KEYS[1], 'code', 'used', 'json', 'sealedUpstreamTokens', 'upstreamVersion')
      return code[1] and code`
  },
  mcpRedeemCode: {
    numberOfKeys: 4,
    lua: `${ISSUE}
      local code = redis.call('HMGET', KEYS[1], 'used', 'grantExpiresAtMs', 'json', 'sealedUpstreamTokens', 'upstreamVersion')
      if not code[3] then return { 'unknown', 0 } end
      if code[1] then return { 'replayed', redis.call('EXISTS', KEYS[3]) } end
      -- what is remembered of a used code needs no upstream tokens
      redis.call('HSET', KEYS[1], 'used', '1', 'sealedUpstreamTokens', '')
      redis.call('PEXPIREAT', KEYS[1], ARGV[2])
      redis.call('HSET', KEYS[2], 'json', code[3], 'sealedUpstreamTokens', code[4], 'upstreamVersion', code[5])
      redis.call('PEXPIREAT', KEYS[2], code[2])
      issue()
      return { 'redeemed', 1 }`
  },
  mcpFindGrant: {
    numberOfKeys: 1,
    lua: `${GRANT}
      return grantOf(KEYS[1])`
  },
  mcpFindAccessToken: {
    numberOfKeys: 2,
    lua: `${GRANT}
      local grant, token = grantOf(KEYS[1]), redis.call('GET', KEYS[2])
      return grant and token and { token, unpack(grant) }`
  },
  mcpFindRefreshToken: {
    numberOfKeys: 2,
    lua: `${GRANT}
      local grant, token = grantOf(KEYS[1]), redis.call('HMGET', KEYS[2], 'json', 'rotatedAt')
      return grant and token[1] and { token[1], token[2] and 1 or 0, unpack(grant) }`
  },
  mcpRotate: {
    numberOfKeys: 4,
    lua: `${GRANT}${ISSUE}
      local grant, old = grantOf(KEYS[2]), redis.call('HMGET', KEYS[1], 'json', 'rotatedAt', 'sealedResponse')
      if not grant or not old[1] then return { 'unknown', 0 } end
      local time = redis.call('TIME')
      local now = time[1] + time[2] / 1000000
      if not old[2] then
        redis.call('HSET', KEYS[1], 'rotatedAt', string.format('%.6f', now), 'sealedResponse', ARGV[5])
        issue()
        return { 'rotated', 1 }
      end
      local issued = redis.call('EXISTS', KEYS[3])
      if now < old[2] + ARGV[6] then return { 'repeated', issued, old[3] } end
      redis.call('DEL', KEYS[2])
      return { 'replayed', issued, unpack(grant) }`
  },
  mcpReplaceUpstreamTokens: {
    numberOfKeys: 1,
    lua: `
      if redis.call('HGET', KEYS[1], 'upstreamVersion') ~= ARGV[1] then return 0 end
      redis.call('HSET', KEYS[1], 'sealedUpstreamTokens', ARGV[2])
      redis.call('HINCRBY', KEYS[1], 'upstreamVersion', 1)
      return 1`
  },
  mcpListGrant: {
    numberOfKeys: 1,
    lua: `
      local time = redis.call('TIME')
      redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000)
      redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
      redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -${MAX_LISTED + 1})
      return redis.call('PEXPIREAT', KEYS[1], redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2])`
  },
  mcpEndGrant: {
    numberOfKeys: 1,
    lua: `${GRANT}
      local grant = grantOf(KEYS[1])
      redis.call('DEL', KEYS[1])
      return grant`
  }
}

/**
 * Codes, grants and tokens of all replicas. Everything that belongs to a grant stands under its id as hash tag, so that
 * one script changes it all; a code or token is found by a pointer from its hash to its grant. A pointer alone is worth
 * nothing: what it leads to must stand under the grant.
 */
export class RedisGrantStore implements GrantStore {
  readonly #connection: RedisConnection
  readonly #prefix: string

  constructor (connection: RedisConnection, keyPrefix: string) {
    this.#connection = connection
    this.#prefix = keyPrefix
    connection.define(scripts)
  }

  async putCode (hash: string, code: CodeRecord): Promise<void> {
    const { grant, used, ...rest } = code
    const { sealedUpstreamTokens, upstreamVersion, ...fixed } = grant
    const key = this.#keyOf(grant.grantId, 'code', hash)
    await this.#point('code', hash, grant.grantId, code.expiresAt)
    await this.#connection.run(redis => redis.mcpPutCode(
      key, JSON.stringify(rest), JSON.stringify(fixed), sealedUpstreamTokens, upstreamVersion, msOf(grant.expiresAt), msOf(code.expiresAt)))
  }

  async findCode (hash: string): Promise<CodeRecord | undefined> {
    const grantId = await this.#grantIdOf('code', hash)
    if (grantId === null) return undefined
    const found = await this.#connection.run(redis => redis.mcpFindCode(this.#keyOf(grantId, 'code', hash)))
    if (found === null) return undefined
    const [code, used, ...grant] = found
    return { ...JSON.parse(code), grant: grantOf(grant), used: used !== null }
  }

  async redeemCode (hash: string, tokens: IssuedTokens): Promise<Redemption> {
    const grantId = await this.#grantIdOf('code', hash)
    if (grantId === null) return 'unknown'
    const begun = await this.findCode(hash)
    if (begun === undefined) return 'unknown'
    const expiresAt = tokens.access.record.expiresAt
    await Promise.all([
      this.#connection.run(redis => redis.pexpireat(this.#pointer('code', hash), msOf(expiresAt))),
      ...this.#pointAt(tokens, grantId),
      ...begun.used ? [] : [this.#list(begun.grant)]
    ])
    const [outcome, issued] = await this.#connection.run(redis => redis.mcpRedeemCode(
      this.#keyOf(grantId, 'code', hash), this.#grant(grantId), ...this.#keysOf(grantId, tokens), ...argumentsOf(tokens)))
    if (issued === 0) await this.#unpoint(tokens)
    return outcome
  }

  async findGrant (grantId: string): Promise<Grant | undefined> {
    const found = await this.#connection.run(redis => redis.mcpFindGrant(this.#grant(grantId)))
    return found === null ? undefined : grantOf(found)
  }

  async findGrantsOf (issuer: string, subject: string): Promise<Grant[]> {
    const ids = await this.#connection.run(redis => redis.zrevrange(this.#person({ issuer, subject }), 0, MAX_GRANTS_OF_ONE - 1))
    const grants = await Promise.all(ids.map(async grantId => await this.findGrant(grantId)))
    return grants.filter(grant => grant !== undefined)
  }

  async findAccessToken (hash: string): Promise<{ token: TokenRecord, grant: Grant } | undefined> {
    const grantId = await this.#grantIdOf('access', hash)
    if (grantId === null) return undefined
    const found = await this.#connection.run(redis => redis.mcpFindAccessToken(this.#grant(grantId), this.#keyOf(grantId, 'access', hash)))
    if (found === null) return undefined
    const [token, ...grant] = found
    return { token: JSON.parse(token), grant: grantOf(grant) }
  }

  async findRefreshToken (hash: string): Promise<{ token: TokenRecord, grant: Grant, rotated: boolean } | undefined> {
    const grantId = await this.#grantIdOf('refresh', hash)
    if (grantId === null) return undefined
    const found = await this.#connection.run(redis => redis.mcpFindRefreshToken(this.#grant(grantId), this.#keyOf(grantId, 'refresh', hash)))
    if (found === null) return undefined
    const [token, rotated, ...grant] = found
    return { token: JSON.parse(token), grant: grantOf(grant), rotated: rotated === 1 }
  }

  async rotate (hash: string, tokens: IssuedTokens, repeatSeconds: number): Promise<Rotation> {
    const grantId = await this.#grantIdOf('refresh', hash)
    if (grantId === null) return { outcome: 'unknown' }
    await Promise.all(this.#pointAt(tokens, grantId))
    const rotation = await this.#connection.run(redis => redis.mcpRotate(
      this.#keyOf(grantId, 'refresh', hash), this.#grant(grantId), ...this.#keysOf(grantId, tokens), ...argumentsOf(tokens), tokens.sealedResponse, repeatSeconds))
    if (rotation[1] === 0) await this.#unpoint(tokens)
    switch (rotation[0]) {
      case 'repeated': return { outcome: 'repeated', sealedResponse: rotation[2] }
      case 'replayed': return { outcome: 'replayed', grant: this.#unlisted(grantOf([rotation[2], rotation[3], rotation[4]])) }
      default: return { outcome: rotation[0] }
    }
  }

  async replaceUpstreamTokens (grantId: string, version: number, sealed: string): Promise<boolean> {
    return await this.#connection.run(redis => redis.mcpReplaceUpstreamTokens(this.#grant(grantId), version, sealed)) === 1
  }

  async end (grantId: string): Promise<Grant | undefined> {
    const ended = await this.#connection.run(redis => redis.mcpEndGrant(this.#grant(grantId)))
    return ended === null ? undefined : this.#unlisted(grantOf(ended))
  }

  #grant (grantId: string): string {
    return `${this.#prefix}:grant:{${grantId}}`
  }

  /** Of the list of a person's grants. */
  #person ({ issuer, subject }: Pick<Grant, 'issuer' | 'subject'>): string {
    return `${this.#prefix}:person:${createHash('sha256').update(JSON.stringify([issuer, subject])).digest('base64url')}`
  }

  async #list (grant: Grant): Promise<void> {
    await this.#connection.run(redis => redis.mcpListGrant(this.#person(grant), grant.grantId, msOf(grant.expiresAt)))
  }

  /** Takes a grant that has ended off the list. */
  #unlisted (grant: Grant): Grant {
    // what is on the list and does not stand is not shown, and goes when the grant would have ended
    this.#connection.run(redis => redis.zrem(this.#person(grant), grant.grantId)).catch(() => {})
    return grant
  }

  #keyOf (grantId: string, kind: Kind, hash: string): string {
    return `${this.#grant(grantId)}:${kind}:${hash}`
  }

  // where there is no refresh token, nothing is written to its key
  #keysOf (grantId: string, { access, refresh = access }: IssuedTokens): [string, string] {
    return [this.#keyOf(grantId, 'access', access.hash), this.#keyOf(grantId, 'refresh', refresh.hash)]
  }

  #pointer (kind: Kind, hash: string): string {
    return `${this.#prefix}:${kind}:${hash}`
  }

  async #grantIdOf (kind: Kind, hash: string): Promise<string | null> {
    return await this.#connection.run(redis => redis.get(this.#pointer(kind, hash)))
  }

  async #point (kind: Kind, hash: string, grantId: string, expiresAt: number): Promise<void> {
    await this.#connection.run(redis => redis.set(this.#pointer(kind, hash), grantId, 'PXAT', msOf(expiresAt)))
  }

  /** Pointers come before what they lead to: a token is found as soon as it stands. */
  #pointAt ({ access, refresh }: IssuedTokens, grantId: string): Array<Promise<void>> {
    return [
      this.#point('access', access.hash, grantId, access.record.expiresAt),
      ...refresh === undefined ? [] : [this.#point('refresh', refresh.hash, grantId, refresh.record.expiresAt)]
    ]
  }

  /** Takes back pointers to tokens that were not issued. */
  async #unpoint ({ access, refresh }: IssuedTokens): Promise<void> {
    await Promise.all([
      this.#connection.run(redis => redis.del(this.#pointer('access', access.hash))),
      refresh && this.#connection.run(redis => redis.del(this.#pointer('refresh', refresh.hash)))
    ]).catch(() => {}) // they expire
  }
}

function msOf (epochSeconds: number): number {
  return Math.max(1, Math.ceil(epochSeconds * 1000))
}

function argumentsOf ({ access, refresh }: IssuedTokens): TokenArguments {
  return [
    JSON.stringify(access.record), msOf(access.record.expiresAt),
    refresh === undefined ? '' : JSON.stringify(refresh.record), refresh === undefined ? 0 : msOf(refresh.record.expiresAt)
  ]
}

function grantOf ([json, sealedUpstreamTokens, upstreamVersion]: StoredGrant): Grant {
  return { ...JSON.parse(json), sealedUpstreamTokens, upstreamVersion: Number(upstreamVersion) }
}
