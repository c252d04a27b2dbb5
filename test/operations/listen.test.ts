import { once } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { addressOf } from '../support/address-of.js'
import { redisTest } from '../support/redis-server.js'
import { freePort } from '../support/free-port.js'
import { runFile } from './service-process.js'

/** A port that somebody listens on. */
async function takenPort (t: Test): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = addressOf(server)
  return String(address.port)
}

const production = {
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://mcp.example.com',
  OAUTH_ISSUER_URL: 'https://login.example.com',
  ENCRYPTION_KEYS: `k:${'A'.repeat(43)}`
}
const faults: Record<string, { pattern: RegExp, variables: (t: Test) => Promise<NodeJS.ProcessEnv> }> = {
  'the port is in use': {
    pattern: /cannot listen with HOST=127\.0\.0\.1 and PORT=\d+: the port is in use \(EADDRINUSE\)\.$/,
    variables: async t => ({ PORT: await takenPort(t) })
  },
  'HOST is another machine\'s': {
    pattern: /HOST=192\.0\.2\.1 and PORT=\d+: this machine does not have that address \(EADDRNOTAVAIL\)\.$/,
    variables: async () => ({ HOST: '192.0.2.1', PORT: String(await freePort()) })
  },
  'HOST is no host': {
    pattern:
      /HOST=nobody\.invalid and PORT=\d+: (there is no such host|the name of the host could not be resolved) \((ENOTFOUND|EAI_AGAIN)\)\.$/,
    variables: async () => ({ HOST: 'nobody.invalid', PORT: String(await freePort()) })
  }
}

/** Everything that cannot be listened on, in these modes. */
async function check (t: Test, modes: Record<string, () => Promise<NodeJS.ProcessEnv>>): Promise<void> {
  for (const [mode, environment] of Object.entries(modes)) {
    await Promise.all(Object.entries(faults).map(async ([fault, { pattern, variables }]) => {
      const service = runFile(t, 'src/server', { LOG_LEVEL: 'silent', ...await environment(), ...await variables(t) })
      t.equal(await service.exited, 1, `${mode}: ${fault}`)
      t.match(service.output, [pattern], `${mode}: ${fault}: the line`)
      t.equal(service.output.length, 1)
    }))
  }
}

t.test('what cannot be listened on is one line and exit code 1', { timeout: 120_000 }, async t => {
  await check(t, {
    'production, memory': async () => production,
    'development, demo upstream': async () => ({ DEMO_UPSTREAM_PORT: String(await freePort()) })
  })
})

redisTest('and so it is with Redis', async (t, { url }) => {
  await check(t, { 'production, Redis': async () => ({ ...production, REDIS_URL: url }) })
})

t.test('and if the demo upstream cannot listen', async t => {
  const service = runFile(t, 'src/server', { PORT: String(await freePort()), DEMO_UPSTREAM_PORT: await takenPort(t) })
  t.equal(await service.exited, 1)
  t.match(service.output, [
    /^The demo upstream cannot listen with DEMO_UPSTREAM_PORT=\d+: the port is in use \(EADDRINUSE\)\.$/
  ])
  t.equal(service.output.length, 1)
})

t.test('memory as the store is one loud line in production, and none elsewhere', async t => {
  const lines = async (environment: NodeJS.ProcessEnv) => {
    const service = runFile(t, 'src/server', {
      PORT: '0',
      LOG_LEVEL: 'info',
      OAUTH_ISSUER_URL: `http://localhost:${await freePort()}`,
      ...environment
    })
    await service.line(/upstream cannot be reached/)
    service.kill('SIGKILL')
    return service.output.filter(line => line.includes('Neither DATA_DIR nor REDIS_URL'))
  }
  const { NODE_ENV, PUBLIC_URL } = production
  t.match(await lines({ NODE_ENV, PUBLIC_URL }), [/"level":40.*lost when it ends.*a second replica knows none of them/])
  t.same(await lines({}), [])
})
