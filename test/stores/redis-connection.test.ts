import { execFile } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { runnable } from '../support/root.js'
import { find, lacking } from '../support/programs.js'
import { freePort } from '../support/free-port.js'
import { redisTest, RedisServer } from '../support/redis-server.js'

const run = promisify(execFile)

redisTest('a password, and a user of its own', async (t, server) => {
  const admin = server.admin(t)
  await admin.call(
    'ACL',
    'SETUSER',
    'mcp',
    'on',
    '>p@ss/wörd',
    '~mcp:*',
    '&mcp:*',
    '+@all',
    '-@admin',
    '-@dangerous',
    '+info'
  )
  const stores = createRedisStores({
    url: server.url.replace('//', `//mcp:${encodeURIComponent('p@ss/wörd')}@`),
    sessionIdleSeconds: 60
  })
  t.teardown(() => stores.close())
  await stores.check()
  await stores.bus.publish('grantEnded', { grantId: 'g' })
  await stores.eventLog.append('s', 'get', [{ data: 'data' }])
  t.equal(await stores.leases.acquire('lease', 'holder', 1000), true, 'it needs its own keys and channels only')

  await admin.call('CONFIG', 'SET', 'requirepass', 'secret')
  const bare = createRedisStores({ url: server.url.replace('//', '//:secret@'), sessionIdleSeconds: 60 })
  t.teardown(() => bare.close())
  await bare.check()
  for (const credentials of ['', ':wrong@', 'nobody:secret@']) {
    const errors: string[] = []
    const told = new EventEmitter()
    const heard = once(told, 'error told')
    const onError = ({ message }: Error) => {
      errors.push(message)
      told.emit('error told')
    }
    const wrong = createRedisStores({
      url: server.url.replace('//', `//${credentials}`),
      sessionIdleSeconds: 60,
      graceMs: 100,
      onError
    })
    await heard
    const error = await wrong.check().then(() => undefined, (error: unknown) => error)
    t.ok(error instanceof TemporarilyUnavailableError, credentials)
    t.match(error, { detail: /NOAUTH|WRONGPASS/ })
    t.ok(errors.length > 0, 'the log is told')
    await wrong.close()
  }
})

redisTest('what a log is told has no arguments', async (t, server) => {
  const admin = server.admin(t)
  await admin.call('ACL', 'SETUSER', 'weak', 'on', '>secret', '~*', '&*', '+@all', '-eval', '-evalsha')
  const stores = createRedisStores({ url: server.url.replace('//', '//weak:secret@'), sessionIdleSeconds: 60 })
  t.teardown(() => stores.close())
  const error: unknown = await stores.authorizations.take('an id that is secret').then(
    () => undefined,
    (error: unknown) => error
  )
  t.match(
    error,
    { name: 'OperatorNeededError', detail: /NOPERM/, retryAfterSeconds: undefined },
    'what is not going to pass is no matter of trying again'
  )
  t.notMatch(JSON.stringify(Object.entries(error ?? {})), /secret/)
})

t.test('a URL or prefix that cannot be used', async t => {
  for (const url of ['', 'localhost:6379', 'http://localhost', 'redis://', 'redis://host:port', '/tmp/redis.sock']) {
    t.throws(() => createRedisStores({ url, sessionIdleSeconds: 60 }), { name: 'ConfigError' }, url)
  }
  for (const keyPrefix of ['', '{x}', 'a b', 'x'.repeat(65)]) {
    t.throws(() => createRedisStores({ url: 'redis://127.0.0.1:1', sessionIdleSeconds: 60, keyPrefix }), {
      name: 'ConfigError'
    }, keyPrefix)
  }
})

redisTest('two services with a prefix each', async (t, server) => {
  const [one, two] = ['one', 'two'].map(keyPrefix =>
    createRedisStores({ url: server.url, sessionIdleSeconds: 60, keyPrefix })
  )
  if (one === undefined || two === undefined) throw new Error('There are no stores.')
  t.teardown(() => Promise.all([one.close(), two.close()]))
  await one.authorizations.add('id', {
    browserHash: 'h',
    clientId: 'c',
    redirectUri: 'u',
    codeChallenge: 'x',
    resource: 'r',
    scopes: [],
    consent: 'given'
  }, { address: 'a', ttlSeconds: 60 })
  t.equal(await two.authorizations.get('id'), undefined)
  t.ok(await one.authorizations.get('id'))
})

const openssl = find('openssl')
redisTest(
  'TLS',
  async (t, _server) => {
    const directory = mkdtempSync(join(tmpdir(), 'redis-tls-'))
    t.teardown(() => {
      rmSync(directory, { recursive: true, force: true })
    })
    const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
    await run(openssl ?? 'openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
      '-keyout',
      key,
      '-out',
      certificate
    ])
    const port = await freePort()
    const server = new RedisServer(find('redis-server') ?? '', await freePort(), [
      '--tls-port',
      String(port),
      '--tls-cert-file',
      certificate,
      '--tls-key-file',
      key,
      '--tls-ca-cert-file',
      certificate,
      '--tls-auth-clients',
      'no',
      '--requirepass',
      'secret'
    ])
    t.teardown(() => server.end())
    await server.start()

    const url = `rediss://:secret@localhost:${port}`
    const loader = runnable('src/stores/redis/stores')
    const file = loader.pop()
    const script = `
    const { createRedisStores } = await import(${JSON.stringify(file)})
    const stores = createRedisStores({ url: ${JSON.stringify(url)}, sessionIdleSeconds: 60 })
    console.log(await stores.leases.acquire('lease', 'holder', 1000))
    await stores.check()
    await stores.close()`
    const trusting = await run(process.execPath, [...loader, '--input-type=module', '-e', script], {
      env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: certificate }
    })
    t.equal(trusting.stdout.trim(), 'true')

    const stores = createRedisStores({ url, sessionIdleSeconds: 60, graceMs: 100 })
    t.teardown(() => stores.close())
    const error = await stores.check().then(() => undefined, (error: unknown) => error)
    t.ok(error instanceof TemporarilyUnavailableError)
    t.match(error, { detail: /certificate/ }, 'a certificate that nobody vouches for is refused')
  }, [], openssl === undefined ? lacking('openssl') : undefined)
