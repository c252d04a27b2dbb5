import t from 'tap'
import { authorize, redeem, register, parseTokens } from '../support/oauth-flow.js'
import { startTarget, type Target } from '../support/target.js'
import { ways } from './greedy-clients.js'

/*
 * With the broker a person gets as many client ids as they like, by registering them: it makes them nobody else.
 */

const LIMITS = { RATE_LIMIT_TOOL_CALLS_PER_MINUTE: '3' }

/** An access token of somebody, of a client that was registered for it. */
async function newToken (target: Target, as: string): Promise<string> {
  const client = await register(target)
  const code = (await authorize(target, client, { as })).get('code') ?? ''
  return parseTokens(await redeem(target, client, code)).accessToken
}

for (const sessionMode of ['stateful', 'stateless'] as const) {
  t.test(`SESSION_MODE=${sessionMode}`, async t => {
    const target = await startTarget(t, { ...LIMITS, SESSION_MODE: sessionMode })
    const tokens = [
      await newToken(target, 'alice'),
      await newToken(target, 'alice'),
      await newToken(target, 'alice'),
      await newToken(target, 'alice')
    ]
    const bob = await newToken(target, 'bob')
    // the ways there are to this service, each with the next client
    const open = ways.filter(way => way.name.startsWith('2026-07-28 bridged') || way.sessionMode === sessionMode)
      .filter(({ name, reuseInstances }) => !name.includes('native') && !reuseInstances)
    const statuses: number[] = []
    for (let call = 0; call < 6; call++) {
      const client = await open[call % open.length]?.connect(target.fetch, tokens[call % tokens.length] ?? '')
      const response = await client?.callWith('add', { a: 1, b: 2 })
      statuses.push(response?.status === 202 ? 200 : response?.status ?? 0)
    }
    t.strictSame(statuses, [200, 200, 200, 429, 429, 429], 'alice, with four clients, in every revision')
    const served = await (await open[0]?.connect(target.fetch, bob))?.callWith('add', { a: 1, b: 2 })
    t.ok(served?.ok, 'bob is served')
  })
}
