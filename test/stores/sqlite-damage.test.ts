import Database from 'libsql'
import { join } from 'node:path'
import t from 'tap'
import { OperatorNeededError } from '../../src/errors.js'
import { createSqliteStores } from '../../src/stores/sqlite/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { createTaskStore } from '../../src/stores/tasks/store.js'
import { addGrant, later } from './standing-grant.js'

/*
 * SQLite has no checksums: what a disk has changed within a text is read as it is.
 */
interface Kept {
  table: string
  column: string
  /** The column has JSON. */
  isRecord: boolean
  write: (stores: Stores) => Promise<unknown>
  read: (stores: Stores) => Promise<unknown>
}

const consent = { clientId: 'c', redirectUri: 'u', resource: 'r', scopes: ['mcp'], expiresAt: later(100) }
const client = { clientId: 'c', metadata: { redirect_uris: [] }, issuedAt: later(0), expiresAt: later(100) }
const document = { clientId: 'c', metadata: { redirect_uris: [] }, freshUntil: later(9), staleUntil: later(100) }
const session = {
  id: 's',
  kind: 'streamable-http' as const,
  owner: { issuer: 'i', subject: 's', clientId: 'c' },
  initialized: true,
  initializeParams: {},
  protocolVersion: '2025-11-25',
  subscriptions: [],
  lastSeenAt: later(0),
  expiresAt: later(100)
}
const bounds = { perOwner: 5, perPerson: 5 }
const deletion = { clientId: 'c', sealed: 'x' }

const sessions = {
  write: async (stores: Stores) => { await stores.sessions.create(session, bounds) },
  read: async (stores: Stores) => await stores.sessions.get('s')
}
const clients = {
  write: async (stores: Stores) => { await stores.clients.add(client, '192.0.2.1') },
  read: async (stores: Stores) => await stores.clients.find('c')
}
const consents = {
  write: async (stores: Stores) => { await stores.consents.remember('alice', consent) },
  read: async (stores: Stores) => await stores.consents.find('alice', consent)
}
const documents = {
  write: async (stores: Stores) => { await stores.metadataDocuments.put(document) },
  read: async (stores: Stores) => await stores.metadataDocuments.find('c')
}
const grants = {
  write: async (stores: Stores) => { await addGrant(stores.grants, 'g') },
  read: async (stores: Stores) => await stores.grants.findAccessToken('access-1')
}
const refreshes = { ...grants, read: async (stores: Stores) => await stores.grants.findRefreshToken('refresh-1') }
const steps = {
  write: async (stores: Stores) => { await stores.loginSteps.append({ step: 'token', at: 1, links: [] }) },
  read: async (stores: Stores) => await stores.loginSteps.read()
}
const deletions = {
  write: async (stores: Stores) => { await stores.upstreamDeletions.add([deletion]) },
  read: async (stores: Stores) => await stores.upstreamDeletions.claim(1, 10)
}
const tasks = {
  write: async (stores: Stores) => {
    await createTaskStore(stores).createTask({ ttl: 60_000 }, 1, { method: 'tools/call', params: {} }, 's')
  },
  read: async (stores: Stores) => await createTaskStore(stores).listTasks(undefined, 's')
}

const all: readonly Kept[] = [
  { table: 'sessions', column: 'record', isRecord: true, ...sessions },
  { table: 'clients', column: 'record', isRecord: true, ...clients },
  { table: 'consents', column: 'record', isRecord: true, ...consents },
  { table: 'metadata_documents', column: 'record', isRecord: true, ...documents },
  { table: 'grants', column: 'record', isRecord: true, ...grants },
  { table: 'grants', column: 'sealed_upstream_tokens', isRecord: false, ...grants },
  { table: 'access_tokens', column: 'record', isRecord: true, ...grants },
  { table: 'refresh_tokens', column: 'record', isRecord: true, ...refreshes },
  { table: 'login_steps', column: 'record', isRecord: true, ...steps },
  { table: 'upstream_deletions', column: 'client_id', isRecord: false, ...deletions },
  { table: 'upstream_deletions', column: 'sealed', isRecord: false, ...deletions },
  { table: 'tasks', column: 'record', isRecord: true, ...tasks }
]

/** Damages: what stands there then, as SQL. */
const damages = {
  'not UTF-8': "CAST(x'7b2261223a22ff227d' AS TEXT)",
  'not JSON': '\'{"a\'',
  empty: "''"
}

for (const { table, column, isRecord, write, read } of all) {
  for (const [what, sql] of Object.entries(damages)) {
    if (!isRecord && what !== 'not UTF-8') continue
    t.test(`${table}.${column}: ${what}`, async t => {
      const file = join(t.testdir({}), 'state.sqlite')
      const written = createSqliteStores({ file, sessionIdleSeconds: 60 })
      await write(written)
      await written.close()
      const database = new Database(file)
      t.equal(database.prepare(`UPDATE ${table} SET ${column} = ${sql}`).run().changes, 1)
      database.close()

      const stores = createSqliteStores({ file, sessionIdleSeconds: 60 })
      t.teardown(() => stores.close())
      const error: unknown = await read(stores).then(() => undefined, (error: unknown) => error)
      t.ok(error instanceof OperatorNeededError, 'an operator has to act')
      t.match(error, { statusCode: 503, detail: /^SQLite: .* damaged/ })
      await stores.sessions.create({ ...session, id: 'another' }, bounds)
      t.ok(await stores.sessions.get('another'), 'the rest can be used')
    })
  }
}
