import Database from 'libsql'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, renameSync, statSync, symlinkSync, truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ConfigError, OperatorNeededError, TemporarilyUnavailableError } from '../../src/errors.js'
import { openDatabase, type SqliteDatabaseOptions } from '../../src/stores/sqlite/database/open.js'
import { MIGRATIONS } from '../../src/stores/sqlite/database/migrations.js'
import { SqliteGrantStore } from '../../src/stores/sqlite/grants.js'
import { SqliteSessionStore } from '../../src/stores/sqlite/sessions.js'
import { text } from '../../src/stores/sqlite/database/text.js'
import { createSqliteStores } from '../../src/stores/sqlite/stores.js'
import { root } from '../support/root.js'
import { addGrant, later } from './standing-grant.js'

const newFile = (t: Test) => join(t.testdir({}), 'state.sqlite')
const openStores = (t: Test, file: string) => {
  const stores = createSqliteStores({ file, sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  return stores
}

/** Refused, in one line that names the file and says this. */
function refused (t: Test, file: string, says: RegExp, options: Partial<SqliteDatabaseOptions> = {}): void {
  try {
    openDatabase({ file, ...options }).close()
    t.fail('it was opened')
  } catch (error) {
    t.ok(error instanceof ConfigError, String(error))
    const { message } = error instanceof Error ? error : { message: '' }
    t.match(message, says)
    t.ok(message.includes(file), message)
    t.notMatch(message, /\n/)
  }
}

/** Another process that has the file open, and has written something that is in the log alone. */
async function hold (t: Test, file: string) {
  const script = `
    const { openDatabase } = await import('./src/stores/sqlite/database/open.ts')
    try {
      const database = openDatabase({ file: process.argv[1] })
      database.command('UPDATE service SET checked_at = 7')()
      console.log('open')
      setInterval(() => {}, 1000)
    } catch (error) {
      console.log(error.message)
    }`
  const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', script, file], { cwd: root })
  t.teardown(() => child.kill('SIGKILL'))
  const data: unknown[] = await once(child.stdout, 'data')
  return {
    said: String(data[0]).trim(),
    kill: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
  }
}

t.test('one process has the file, once', async t => {
  const file = newFile(t)
  const database = openDatabase({ file })
  refused(t, file, /replicas need Redis/)
  refused(t, join(t.testdirName, '.', 'state.sqlite'), /replicas need Redis/)
  t.equal((await hold(t, file)).said.includes('replicas need Redis'), true, 'not another process, either')
  const statements = [database.query('SELECT 1 FROM service'), database.command('UPDATE service SET checked_at = 1')]
  for (const run of statements) run()
  database.close()
  database.close()
  for (const run of [...statements, () => { database.step(() => {}) }, () => { database.check() }]) {
    t.throws(run, TemporarilyUnavailableError, 'nothing is read or written after the end')
  }
  openDatabase({ file }).close()
  t.notOk(lstatSync(`${file}-wal`, { throwIfNoEntry: false }), 'after an orderly end there is one file')
})

t.test('of several processes that begin at once, one has it; kill -9 gives it back, with all that it has', async t => {
  const file = newFile(t)
  const all = await Promise.all([1, 2, 3].map(async () => await hold(t, file)))
  const won = all.filter(({ said }) => said === 'open')
  t.equal(won.length, 1, all.map(({ said }) => said).join('\n'))
  refused(t, file, /replicas need Redis/)
  await won[0]?.kill()
  t.ok(statSync(`${file}-wal`).size > 0, 'a log is left behind')
  const database = openDatabase({ file })
  t.same(database.query<{ checked_at: number }>('SELECT checked_at FROM service')(), [{ checked_at: 7 }])
  database.close()
})

t.test('who may read and write it', async t => {
  const file = newFile(t)
  const stores = openStores(t, file)
  await stores.check()
  for (const path of [file, `${file}-wal`]) t.equal(statSync(path).mode & 0o777, 0o600, path)
  await stores.close()
  chmodSync(file, 0o666)
  openDatabase({ file }).close()
  t.equal(statSync(file).mode & 0o777, 0o600, 'corrected')
  for (const suffix of ['', '-wal']) {
    const link = join(t.testdirName, `link${suffix}.sqlite`)
    symlinkSync(file, link + suffix)
    refused(t, link, /not a link/)
  }
  linkSync(file, join(t.testdirName, 'second.sqlite'))
  refused(t, file, /hard link/)
})

t.test('a file that cannot be used stops the start, and stays as it is', async t => {
  const directory = t.testdir({ 'text.sqlite': 'x'.repeat(10_000), directory: {}, file: '' })
  const at = (name: string) => join(directory, name)
  refused(t, at('directory'), /regular file/)
  refused(t, at('nowhere/state.sqlite'), /directory does not exist: make it/)
  refused(t, at('file/state.sqlite'), /directory does not exist: make it/)
  execFileSync('mkfifo', [at('pipe')])
  refused(t, at('pipe'), /regular file/)
  writeFileSync(at('huge.sqlite'), '')
  truncateSync(at('huge.sqlite'), 2 ** 36)
  refused(t, at('huge.sqlite'), /damaged, or/)
  refused(t, at('text.sqlite'), /damaged, or it is not a file of this service/)
  t.equal(readFileSync(at('text.sqlite'), 'utf8'), 'x'.repeat(10_000))

  const foreign = new Database(at('foreign.sqlite'))
  foreign.exec('CREATE TABLE notes (text)')
  foreign.close()
  const before = readFileSync(at('foreign.sqlite'))
  refused(t, at('foreign.sqlite'), /another program/)
  t.same(readFileSync(at('foreign.sqlite')), before)

  const stores = openStores(t, at('damaged.sqlite'))
  for (let index = 0; index < 200; index++) await addGrant(stores.grants, `g${index}`, 'alice', `t${index}`)
  await stores.close()
  const bytes = readFileSync(at('damaged.sqlite'))
  writeFileSync(at('damaged.sqlite'), bytes.fill(0xff, 100, 4096))
  refused(t, at('damaged.sqlite'), /damaged/)
  writeFileSync(at('cut.sqlite'), bytes.subarray(0, 5000))
  refused(t, at('cut.sqlite'), /damaged/)
})

t.test('the version of the format', async t => {
  const file = newFile(t)
  // empty, as it was made by somebody else
  writeFileSync(file, '')
  openDatabase({ file }).close()
  const older = openDatabase({ file })
  older.command('UPDATE service SET checked_at = 5')()
  older.close()

  const added = [...MIGRATIONS, 'ALTER TABLE service ADD COLUMN note TEXT; UPDATE service SET note = checked_at']
  t.throws(() => openDatabase({ file, migrations: [...MIGRATIONS, `${String(added.at(-1))}; BROKEN`] }), /syntax/)
  const newer = openDatabase({ file, migrations: added })
  t.same(newer.query(`SELECT ${text('note')} FROM service`)(), [{ note: '5' }], 'what was there is kept')
  newer.close()
  openDatabase({ file, migrations: added }).close()
  const before = readFileSync(file)
  refused(t, file, /newer version of this package.*format 3.*up to 2/)
  t.same(readFileSync(file), before)
})

const session = (id: string, kind: 'sse' | 'streamable-http' = 'streamable-http') => ({
  id,
  kind,
  owner: { issuer: 'i', subject: 'alice', clientId: 'c' },
  initialized: true,
  subscriptions: ['file:///a'],
  lastSeenAt: later(0),
  expiresAt: later(600)
})
const BOUNDS = { perOwner: 10, perPerson: 10 }
const CALLS = [{ name: 'all', calls: ['c1'], counted: 1, limits: { callsPerDay: 1, concurrentCalls: 1 } }]

t.test('what a new process finds', async t => {
  const file = newFile(t)
  const before = openStores(t, file)
  const keptFor = { address: '198.51.100.1', ttlSeconds: 600 }
  const client = { clientId: 'c', metadata: { redirect_uris: [] }, issuedAt: 1, expiresAt: later(600) }
  const document = { clientId: 'https://c.example/', metadata: {}, freshUntil: 1, staleUntil: later(600) }
  const consent = { clientId: 'c', redirectUri: 'r', resource: 'm', scopes: [], expiresAt: later(600) }
  const transaction = {
    browserHash: 'b',
    clientId: 'c',
    redirectUri: 'r',
    codeChallenge: 'x',
    resource: 'm',
    scopes: [],
    consent: 'given' as const
  }
  const step = { step: 'token' as const, at: 1, links: [] }
  const visit = { request: 'token' as const, at: 1, status: 200, address: 'a', userAgent: 'u' }
  await before.clients.add(client, 'address')
  await before.upstreamClients.add({ clientId: 'u', sealed: 's', expiresAt: later(600) }, 'address')
  await before.upstreamDeletions.add([{ clientId: 'u', sealed: 'deleted' }])
  await before.metadataDocuments.put(document)
  await before.consents.remember('alice', consent)
  await before.authorizations.add('login', transaction, keptFor)
  await before.authorizations.end('over', keptFor)
  await addGrant(before.grants, 'grant', 'alice', 'token')
  await before.loginSteps.append(step)
  await before.visits.append(visit)
  const http = session('http')
  await before.sessions.create(http, BOUNDS)
  await before.sessions.create(session('sse', 'sse'), BOUNDS)
  await before.tasks.create('http', { id: 'task', ttl: 60_000, pollInterval: 1000 })
  await before.tasks.enqueue('http', 'task', 'message')
  await before.tasks.create('idle', { id: 'task', ttl: 60_000, pollInterval: 1000 })
  t.equal(await before.callLimits.take('alice', CALLS, 60_000), undefined)
  t.ok(await before.leases.acquire('client-assertion:x', 'a', 60_000))
  t.ok(await before.leases.acquire('replica:x', 'a', 60_000))
  await before.close()

  const after = openStores(t, file)
  t.strictSame(await after.clients.find('c'), client)
  t.match(await after.upstreamClients.find('u'), { sealed: 's' })
  t.strictSame(await after.upstreamDeletions.claim(10, 60), [{ clientId: 'u', sealed: 'deleted' }])
  t.strictSame(await after.metadataDocuments.find(document.clientId), document)
  t.strictSame(await after.consents.find('alice', consent), consent)
  t.strictSame(await after.authorizations.take('login'), transaction)
  t.equal(await after.authorizations.add('over', transaction, keptFor), undefined)
  t.match(await after.grants.findAccessToken('access-token'), { grant: { grantId: 'grant' } })
  t.match(await after.grants.findRefreshToken('refresh-token'), { rotated: false })
  t.strictSame(await after.loginSteps.read(), [step])
  t.strictSame(await after.visits.read(), [visit])
  t.strictSame(await after.sessions.get('http'), http)
  t.equal(await after.sessions.get('sse'), undefined, 'its stream is gone')
  t.strictSame(await after.tasks.dequeue('http', 'task'), ['message'])
  t.match(await after.callLimits.take('alice', CALLS, 60_000), { limit: 'callsPerDay' }, 'the day goes on')
  t.notOk(await after.leases.acquire('client-assertion:x', 'b', 60_000), 'used is used')
  t.ok(await after.leases.acquire('replica:x', 'b', 60_000), 'its holder is gone')
  await after.sessions.delete('http')
  t.equal(await after.tasks.get('http', 'task'), undefined, 'tasks still end with their session')
  t.ok(await after.tasks.get('idle', 'task'))
})

for (const [what, begin, end] of [
  ['a full disk', 'PRAGMA max_page_count = 1', 'PRAGMA max_page_count = 1000000'],
  ['a disk that is read-only', 'PRAGMA query_only = ON', 'PRAGMA query_only = OFF']
] as const) {
  t.test(`${what}: nothing is half done, reads continue, and so does everything afterwards`, async t => {
    const file = newFile(t)
    const database = openDatabase({ file })
    t.teardown(() => { database.close() })
    const stores = {
      grants: new SqliteGrantStore(database),
      sessions: new SqliteSessionStore(database, { idleSeconds: 60 })
    }
    await addGrant(stores.grants, 'grant', 'alice', 'token')
    await stores.sessions.create(session('s'), BOUNDS)
    database.query(begin)()
    const large = 'x'.repeat(100_000)
    const failing = async () => {
      let index = 0
      // what fits into the pages that there are is taken
      while (index < 1000) await addGrant(stores.grants, `g${index}${large}`, 'alice', `t${index++}`)
    }
    const error: unknown = await failing().then(() => undefined, (error: unknown) => error)
    t.ok(error instanceof OperatorNeededError, String(error))
    t.match(error, { statusCode: 503, detail: file })
    t.notMatch(error instanceof Error ? error.message : '', /sqlite/i, 'what is wrong is for the operator alone')
    t.match(await stores.grants.findAccessToken('access-token'), { grant: { grantId: 'grant' } })
    t.match(await stores.sessions.get('s'), { id: 's' })
    database.query(end)()
    database.check()
    await addGrant(stores.grants, 'later', 'alice', 'later')
    t.match(await stores.grants.findAccessToken('access-later'), { grant: { grantId: 'later' } })
    t.same(database.query('PRAGMA integrity_check')(), [{ integrity_check: 'ok' }])
    t.same(database.query('PRAGMA foreign_key_check')(), [])
  })
}

t.test('readiness: the disk, and whether the file is still there', async t => {
  const directory = t.testdir({})
  const database = openDatabase({ file: join(directory, 'state.sqlite') })
  t.teardown(() => { database.close() })
  database.query('PRAGMA query_only = ON')()
  t.throws(() => { database.check() }, OperatorNeededError)
  t.throws(() => { database.check() }, OperatorNeededError, 'it does not write each time that somebody asks')
  const moved = openDatabase({ file: join(directory, 'moved.sqlite') })
  t.teardown(() => { moved.close() })
  mkdirSync(join(directory, 'elsewhere'))
  renameSync(join(directory, 'moved.sqlite'), join(directory, 'elsewhere/moved.sqlite'))
  t.throws(() => { moved.check() }, OperatorNeededError, 'it was moved')
  const full = openDatabase({ file: join(directory, 'full.sqlite'), leastRoomBytes: Infinity })
  t.teardown(() => { full.close() })
  t.match(t.throws(() => { full.check() }), { detail: /full\.sqlite: its disk is full: make room/ })
})
