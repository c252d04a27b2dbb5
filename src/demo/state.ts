import { closeSync, existsSync, openSync } from 'node:fs'
import { exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import type { Database } from 'libsql'
import type { Adapter, AdapterPayload } from 'oidc-provider'
import { oneLine } from '../displayed-text.js'
import { ConfigError } from '../errors.js'
import { getMember } from '../members.js'
import { parseRecord } from '../parse-record.js'
import { loadLibsql } from '../stores/sqlite/database/libsql.js'
import { text } from '../stores/sqlite/database/text.js'

const FORMAT = 1
const BUSY_MS = 2000
// it takes registrations of anybody on this machine
const MAX_ENTRIES = 20_000
const PRUNE_EVERY = 500
const MODE = 0o600

/** The models whose entries end with their grant. */
const GRANTABLE: ReadonlySet<string> = new Set([
  'AccessToken',
  'AuthorizationCode',
  'RefreshToken',
  'DeviceCode',
  'BackchannelAuthenticationRequest',
  'PreAuthorizedCode'
])

const TABLES = `
  CREATE TABLE IF NOT EXISTS entries (
    model TEXT NOT NULL,
    id TEXT NOT NULL,
    payload TEXT NOT NULL,
    grant_id TEXT,
    uid TEXT,
    user_code TEXT,
    expires_at INTEGER,
    UNIQUE (model, id)
  );
  CREATE INDEX IF NOT EXISTS entries_by_grant ON entries (grant_id) WHERE grant_id IS NOT NULL;
  CREATE INDEX IF NOT EXISTS entries_by_uid ON entries (model, uid) WHERE uid IS NOT NULL;
  CREATE INDEX IF NOT EXISTS entries_by_code ON entries (model, user_code) WHERE user_code IS NOT NULL;
  CREATE INDEX IF NOT EXISTS entries_by_end ON entries (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
`

const FOREIGN = `SELECT count(*) AS parts FROM sqlite_schema
  WHERE tbl_name NOT IN ('entries', 'secrets') OR type NOT IN ('table', 'index')`

/** What the demo upstream signs with. */
interface DemoKeys {
  signingKey: JWK
  cookieKey: string
}

/** What the demo upstream keeps across restarts: clients, logins, grants and its own keys, in one file. */
export interface DemoState extends DemoKeys {
  /** For `oidc-provider`: where it keeps the entries of a model. */
  adapter: (model: string) => Adapter
  close (): void
}

/**
 * Opens the state in a file, of mode 0600, which is made if there is none.
 * @throws {ConfigError} with one line that names the file
 */
export async function openDemoState (file: string): Promise<DemoState> {
  const SqliteDatabase = loadLibsql()
  let database: Database | undefined
  try {
    // its keys are in it
    if (!existsSync(file)) closeSync(openSync(file, 'a', MODE))
    database = new SqliteDatabase(file, { timeout: BUSY_MS })
    prepare(database)
    const keys = await readOrMakeKeys(database)
    return { ...keys, ...entriesIn(database), close: () => { database?.close() } }
  } catch (cause) {
    database?.close()
    // without a code, libsql says what the system says in its message
    const why = getMember(cause, 'code') || (cause instanceof Error ? oneLine(cause.message) : cause)
    throw new ConfigError(
      `The state of the demo upstream, ${file}, cannot be used (${why}). If it is damaged, delete it: people then ` +
        'log in again.',
      { cause }
    )
  }
}

function prepare (database: Database): void {
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = NORMAL')
  const [format] = database.prepare('PRAGMA user_version').all().map(row => getMember(row, 'user_version'))
  if (format !== 0 && format !== FORMAT) throw new Error('it was written by another version')
  const [check] = database.prepare('PRAGMA quick_check(1)').all().map(row => getMember(row, 'quick_check'))
  if (check !== 'ok') throw new Error('it is damaged')
  const [foreign] = database.prepare(FOREIGN).all().map(row => getMember(row, 'parts'))
  if (foreign !== 0) throw new Error('it is the database of another program')
  database.exec(`BEGIN IMMEDIATE; ${TABLES} PRAGMA user_version = ${FORMAT}; COMMIT`)
}

/** The first process to write them wins. */
async function readOrMakeKeys (database: Database): Promise<DemoKeys> {
  const statement = database.prepare(`SELECT ${text('value')} FROM secrets WHERE name = ?`)
  const read = () => statement.all('keys').map(row => toText(getMember(row, 'value')))[0]
  if (read() === undefined) {
    const keys: DemoKeys = { signingKey: await makeSigningKey(), cookieKey: crypto.randomUUID() }
    database.prepare('INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)').run('keys', JSON.stringify(keys))
  }
  const kept = parseOrNothing<DemoKeys>(String(read()))
  if (kept === undefined || !await canSign(kept)) throw new Error('its keys are not valid')
  return kept
}

/** Whether keys that were read are what was written. */
async function canSign ({ signingKey, cookieKey }: Partial<DemoKeys>): Promise<boolean> {
  if (typeof cookieKey !== 'string' || cookieKey === '') return false
  if (signingKey?.kty !== 'RSA' || typeof signingKey.d !== 'string') return false
  return await importJWK(signingKey, 'RS256').then(() => true, () => false)
}

/** The text of a column that is read by `text`. */
function toText (value: unknown): string | undefined {
  return value instanceof ArrayBuffer || value instanceof Uint8Array ? new TextDecoder().decode(value) : undefined
}

/** @returns undefined for what is damaged: it counts as not there */
function parseOrNothing<T extends object> (json: string): T | undefined {
  try {
    const value = parseRecord<T | null>(json)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

/** It takes a quarter of a second. */
export async function makeSigningKey (): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return { ...await exportJWK(privateKey), use: 'sig', alg: 'RS256', kid: 'demo' }
}

function entriesIn (database: Database): Pick<DemoState, 'adapter'> {
  const found = `SELECT ${text('payload')} FROM entries ` +
    'WHERE (expires_at IS NULL OR expires_at > ?) AND model = ?'
  const [byId, byUid, byUserCode] = ['id', 'uid', 'user_code'].map(column =>
    database.prepare(`${found} AND ${column} = ?`))
  const upsert = database.prepare(`
    INSERT INTO entries (model, id, payload, grant_id, uid, user_code, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (model, id) DO UPDATE SET payload = excluded.payload, grant_id = excluded.grant_id,
      uid = excluded.uid, user_code = excluded.user_code, expires_at = excluded.expires_at`)
  const consume = database.prepare(
    "UPDATE entries SET payload = json_set(payload, '$.consumed', ?) WHERE model = ? AND id = ?"
  )
  const destroy = database.prepare('DELETE FROM entries WHERE model = ? AND id = ?')
  const revoke = database.prepare('DELETE FROM entries WHERE grant_id = ?')
  const prune = () => {
    database.prepare('DELETE FROM entries WHERE expires_at <= ?').run(now())
    database.prepare(
      'DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY rowid DESC LIMIT -1 OFFSET ?)'
    ).run(MAX_ENTRIES)
  }
  let written = 0
  prune()
  return {
    adapter: model => {
      const find = async (statement: typeof byId, value: string): Promise<AdapterPayload | undefined> => {
        // libsql ends the process if it is given no value
        const rows = statement?.all(now(), model, String(value)) ?? []
        const payload = toText(getMember(rows[0], 'payload'))
        return payload === undefined ? undefined : parseOrNothing<AdapterPayload>(payload)
      }
      return {
        upsert: async (id, payload, expiresIn) => {
          if (++written % PRUNE_EVERY === 0) prune()
          upsert.run(
            model,
            id,
            JSON.stringify(payload),
            GRANTABLE.has(model) ? payload.grantId ?? null : null,
            model === 'Session' ? payload.uid ?? null : null,
            payload.userCode ?? null,
            typeof expiresIn === 'number' ? now() + expiresIn : null
          )
        },
        find: id => find(byId, id),
        findByUid: uid => find(byUid, uid),
        findByUserCode: userCode => find(byUserCode, userCode),
        consume: async id => { consume.run(now(), model, id) },
        destroy: async id => { destroy.run(model, id) },
        revokeByGrantId: async grantId => { revoke.run(grantId) }
      }
    }
  }
}

/** Seconds, as `oidc-provider` counts. */
function now (): number {
  return Math.floor(Date.now() / 1000)
}
