import type { Test } from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { clock } from '../support/clock.js'
import { startService, TestClient, type Service } from './test-client.js'
import type { LoginServer, RunningLoginServer } from './shapes/login-server.js'
import { fillIn } from './shapes/recipe.js'

/** What is tried at every login server that it applies to. */
export interface LoginServerCase {
  name: string
  applies (server: LoginServer): boolean
  run (t: Test, at: Situation): Promise<void>
}

/** A login server of the list, with our service in front of it. */
export interface Situation {
  server: LoginServer
  running: RunningLoginServer
  /** It has the settings of the recipe, and no others; so has every other that is started. */
  service: Service
  start (t: Test, values?: Readonly<Record<string, string>>): Promise<Service>
  /** Puts the clock forward. */
  forward (seconds: number): void
}

/** Starts the login server, and our service with the settings of its recipe. */
export async function situate (t: Test, server: LoginServer): Promise<Situation> {
  // the service keeps the clock that it starts with
  const { forward } = clock(t)
  const running = await server.start(t)
  const start = async (t: Test, values: Readonly<Record<string, string>> = {}) => {
    const config = loadConfig(fillIn(server.recipe, { ...running.values, ...values }), { dotenv: false })
    if (config.upstream === undefined) throw new Error(`${server.recipe.page} sets no login server.`)
    const { issuer: _issuer, ...upstream } = config.upstream
    running.register(`${config.publicUrl}/oauth/callback`)
    return await startService(t, { ...upstream, fetch: running.fetch }, {
      publicUrl: config.publicUrl,
      consentDelayMs: 0,
      ...config.policy && { policy: config.policy }
    })
  }
  return { server, running, start, service: await start(t), forward }
}

async function logIn (service: Service): Promise<TestClient> {
  const client = await TestClient.register(service)
  await client.logIn()
  return client
}

const HOUR_SECONDS = 3601
const always = () => true

export const loginServerCases: readonly LoginServerCase[] = [
  {
    name: 'a login, and a call of a tool that uses its access token',
    applies: always,
    run: async (t, { server, service }) => {
      const client = await logIn(service)
      t.match(await client.call('whoami'), { subject: server.subject })
      t.type((await client.call('upstream_token')).token, 'string')
    }
  },
  {
    name: 'a login that the person cancels',
    applies: always,
    run: async (t, { running, service }) => {
      const client = await TestClient.register(service)
      running.cancelLogins()
      t.match(await client.answer(), { error: 'access_denied' })
    }
  },
  {
    name: 'a refresh, and another',
    applies: ({ refreshes }) => refreshes,
    run: async (t, { running, service, forward }) => {
      const client = await logIn(service)
      const tokens = new Set([(await client.call('upstream_token')).token])
      const before = running.asked.count('token')
      for (let refreshes = 0; refreshes < 2; refreshes++) {
        forward(running.lifetimeSeconds + 1)
        t.equal((await client.refresh()).status, 200)
        tokens.add((await client.call('upstream_token')).token)
      }
      t.equal(tokens.size, 3, 'three access tokens')
      t.equal(running.asked.count('token'), before + 2)
    }
  },
  {
    name: 'our refresh, if the login server has none',
    applies: ({ refreshes }) => !refreshes,
    run: async (t, { running, service, forward }) => {
      const client = await logIn(service)
      const { lifetimeSeconds } = running
      const before = running.asked.count('token')
      forward(HOUR_SECONDS)
      t.equal((await client.refresh()).status, 200)
      const { token } = await client.call('upstream_token')
      t.equal(token !== null, lifetimeSeconds === 0 || lifetimeSeconds > HOUR_SECONDS)
      t.equal(running.asked.count('token'), before)
    }
  },
  {
    name: 'a refresh that it refuses',
    applies: ({ refreshes }) => refreshes,
    run: async (t, { running, service, forward }) => {
      const client = await logIn(service)
      running.endLogins()
      forward(running.lifetimeSeconds + 1)
      t.match(await client.refresh(), { status: 400, body: { error: 'invalid_grant' } })
      t.equal(await client.status(), 401)
    }
  },
  {
    name: 'an outage at a refresh',
    applies: ({ refreshes }) => refreshes,
    run: async (t, { running, service, forward }) => {
      const client = await logIn(service)
      forward(running.lifetimeSeconds + 1)
      running.down.add('token')
      const { status, headers, body } = await client.refresh()
      t.match({ status, body }, { status: 503, body: { error: 'temporarily_unavailable' } })
      t.match(headers.get('retry-after'), /^[1-9]\d*$/)
      running.down.clear()
      t.equal((await client.refresh()).status, 200)
    }
  },
  {
    name: 'an outage at each step of a login',
    applies: always,
    run: async (t, { server, running, start }) => {
      const known = await start(t)
      await logIn(known)
      for (const step of running.asked.channels) {
        const client = await TestClient.register(step === 'discovery' ? await start(t) : known)
        running.down.add(step)
        const answer = await client.answer()
        if (step === 'userinfo' && !server.needsUserinfo) t.hasProp(answer, 'code', 'the ID token is enough')
        else t.match(answer, { error: 'temporarily_unavailable' }, step)
        running.down.clear()
      }
    }
  },
  {
    name: 'revocation there, when the client revokes',
    applies: ({ revokes }) => revokes,
    run: async (t, { running, service }) => {
      const client = await logIn(service)
      t.equal(await client.revoke(), 200)
      t.equal(await client.status(), 401)
      t.equal(await running.asked.first('revoke'), 200)
    }
  },
  {
    name: 'our revocation, if it has none',
    applies: ({ revokes }) => !revokes,
    run: async (t, { running, service }) => {
      const client = await logIn(service)
      t.equal(await client.revoke(), 200)
      t.equal(await client.status(), 401)
      t.equal(running.asked.count('revoke'), 0)
    }
  },
  {
    name: 'an ID token for another client, of another issuer, with another nonce, or that has expired',
    applies: ({ forges }) => forges,
    run: async (t, { running, service }) => {
      const forgeries = [{ aud: 'another' }, { iss: 'https://another.example' }, { nonce: 'another' }, { exp: 1 }]
      const client = await TestClient.register(service)
      for (const claims of [...forgeries, { aud: ['us', 'another'], azp: 'another' }]) {
        running.forge(claims)
        t.match(await client.answer(), { error: 'server_error' }, JSON.stringify(claims))
      }
    }
  },
  {
    name: 'a wrong client secret',
    applies: ({ hasSecret }) => hasSecret,
    run: async (t, { start }) => {
      const service = await start(t, { OAUTH_CLIENT_SECRET: 'wrong' })
      t.match(await (await TestClient.register(service)).answer(), { error: 'server_error' })
      t.ok(service.log.some(({ reason }) => reason === 'upstream_refused_client'), 'the log says so')
    }
  }
]
