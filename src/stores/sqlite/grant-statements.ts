import type { SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'

export interface GrantRow {
  record: string
  rechecks: number
  sealed_upstream_tokens: string
  upstream_version: number
}

export interface AccessTokenRow extends GrantRow {
  /** The token's record. */
  token: string
}

export interface RefreshTokenRow extends AccessTokenRow {
  /** Null: it was not rotated. */
  rotated_at: number | null
  sealed_response: string | null
}

const GRANT = `${text('grants.record', 'record')}, rechecks, ${text('sealed_upstream_tokens')}, upstream_version`
/** Both end: a token, and its grant. */
const ALIVE = 'hash = ? AND tokens.ends_at > ? AND grants.ends_at > ?'

/** The statements of `SqliteGrantStore`. */
export function prepareGrants (database: SqliteDatabase) {
  const newest = (table: string) =>
    `DELETE FROM ${table} WHERE rowid IN ` +
    `(SELECT rowid FROM ${table} WHERE grant_id = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)`
  return {
    find: database.query<GrantRow>(`SELECT ${GRANT} FROM grants WHERE grant_id = ? AND ends_at > ?`),
    // of two that end in the same second, the newer one stays
    findOf: database.query<GrantRow>(
      `SELECT ${GRANT} FROM grants WHERE person = ? AND ends_at > ? ORDER BY ends_at DESC, rowid DESC LIMIT ? OFFSET ?`
    ),
    count: database.query<{ entries: number }>("SELECT entries FROM totals WHERE counted = 'grants'"),
    add: database.command(
      'INSERT OR REPLACE INTO grants ' +
        '(grant_id, person, ends_at, rechecks, record, sealed_upstream_tokens, upstream_version) ' +
        'VALUES (?, ?, ?, ?, ?, ?, ?)'
    ),
    end: database.command('DELETE FROM grants WHERE grant_id = ?'),
    dropOldest: database.query<{ grant_id: string }>(
      'DELETE FROM grants WHERE rowid IN (SELECT rowid FROM grants ORDER BY rowid LIMIT ?) ' +
        `RETURNING ${text('grant_id')}`
    ),
    replaceUpstreamTokens: database.command(
      'UPDATE grants SET sealed_upstream_tokens = ?, upstream_version = upstream_version + 1 ' +
        'WHERE grant_id = ? AND upstream_version = ? AND ends_at > ?'
    ),
    replaceRecord: database.command('UPDATE grants SET record = ?, rechecks = ? WHERE grant_id = ?'),
    findAccessToken: database.query<AccessTokenRow>(
      `SELECT ${text('tokens.record', 'token')}, ${GRANT} ` +
        `FROM access_tokens AS tokens JOIN grants USING (grant_id) WHERE ${ALIVE}`
    ),
    findRefreshToken: database.query<RefreshTokenRow>(
      `SELECT ${text('tokens.record', 'token')}, rotated_at, ${text('sealed_response')}, ${GRANT} ` +
        `FROM refresh_tokens AS tokens JOIN grants USING (grant_id) WHERE ${ALIVE}`
    ),
    addAccessToken: database.command(
      'INSERT OR REPLACE INTO access_tokens (hash, grant_id, ends_at, record) VALUES (?, ?, ?, ?)'
    ),
    dropAccessTokens: database.command(newest('access_tokens')),
    addRefreshToken: database.command(
      'INSERT OR REPLACE INTO refresh_tokens (hash, grant_id, ends_at, record) VALUES (?, ?, ?, ?)'
    ),
    dropRefreshTokens: database.command(newest('refresh_tokens')),
    setRotated: database.command(
      'UPDATE refresh_tokens SET rotated_at = ?, sealed_response = ?, ends_at = ? WHERE hash = ?'
    ),
    dropResponses: database.command(
      'UPDATE refresh_tokens SET sealed_response = NULL ' +
        'WHERE grant_id = ? AND sealed_response IS NOT NULL AND rotated_at <= ?'
    )
  }
}
