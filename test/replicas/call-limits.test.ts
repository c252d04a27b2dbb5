import { setTimeout as delay } from 'node:timers/promises'
import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/server'
import { modernRequest } from '../../src/testing/modern-request.js'
import { MCP_URL, ways } from '../attacks/greedy-clients.js'
import { LimitedService } from '../policy/limited-service.js'
import { freePort } from '../support/free-port.js'
import { parseObject, valueAt } from '../support/json.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { ReplicaSet } from './replica-set.js'

/* Places of calls that end in other ways than with a response, and limits without their store. */

const LONG_MS = 100_000
const meta = { [CLIENT_CAPABILITIES_META_KEY]: {} }

redisTest('a person\'s place is free again, whatever has become of the call', async (t, server) => {
  const port = await freePort()
  const replicas = await ReplicaSet.start(t, server.url, port, { CONCURRENT_CALLS_PER_PERSON: '1' })
  const [{ url }, victim] = await Promise.all([replicas.local(port), replicas.process()])
  const login = await logInAt(url)
  const authorization = `Bearer ${login.accessToken}`
  let calls = 0

  const post = async (at: string, call: string, ms: number, signal?: AbortSignal) => {
    const work = { name: 'work', arguments: { call, ms, steps: 0 } }
    const { headers, ...request } = modernRequest(1, 'tools/call', work, meta)
    return await fetch(`${at}/mcp`, {
      ...request,
      headers: { ...headers, authorization },
      ...signal !== undefined && { signal }
    })
  }
  const probe = async () => {
    const response = await post(url, `probe ${++calls}`, 0)
    const { error } = parseObject(await response.text())
    return `${response.status} ${String(valueAt(error, 'data', 'limit'))}`
  }
  const runs = async (call: string) => {
    while (!replicas.runs.has(call)) await delay(20)
  }
  const isFree = async () => {
    const since = Date.now()
    while (await probe() === '429 concurrent_calls') await delay(50)
    return Date.now() - since
  }

  t.equal(await probe(), '200 undefined')
  const ended: Record<string, (call: string) => Promise<() => Promise<unknown>>> = {
    'its client has gone': async call => {
      const left = new AbortController()
      const pending = post(victim.url, call, LONG_MS, left.signal)
      pending.catch(() => {})
      return async () => { left.abort() }
    },
    'it is cancelled in its session': async call => {
      const session = await RawSession.open(victim.url, login)
      const request = session.toolCall('work', { call, ms: LONG_MS, steps: 0 })
      session.post(victim.url, request).catch(() => {})
      const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: request.id } }
      return async () => { await session.post(victim.url, cancelled) }
    },
    'its session is deleted': async call => {
      const session = await RawSession.open(victim.url, login)
      session.post(victim.url, session.toolCall('work', { call, ms: LONG_MS, steps: 0 })).catch(() => {})
      const headers = { authorization, 'mcp-session-id': session.sessionId }
      return async () => { await fetch(`${url}/mcp`, { method: 'DELETE', headers }) }
    },
    'its process is killed': async call => {
      post(victim.url, call, LONG_MS).catch(() => {})
      return async () => { await victim.stop('SIGKILL') }
    }
  }
  for (const [how, begin] of Object.entries(ended)) {
    const end = await begin(how)
    await runs(how)
    t.equal(await probe(), '429 concurrent_calls', `${how}: it has the place`)
    await end()
    const ms = await isFree()
    t.ok(ms < 20_000, `${how}: free after ${ms} ms`)
    t.equal(await probe(), '200 undefined', how)
  }
})

redisTest('without the store, limited calls are refused, and nothing else is', async (t, server) => {
  const stores = await redisReplicas(t, server, { graceMs: 50 }, 1)
  const names = ['2026-07-28 native', '2026-07-28 bridged', '2025-11-25 sessionless', '2026-07-28 native, reused']
  const services = await Promise.all(
    ways.filter(({ name }) => names.includes(name)).map(async way => ({
      way,
      service: await LimitedService.start(way, stores, { limits: { callsPerMinute: 100 } })
    }))
  )
  t.teardown(() => Promise.all(services.map(({ service }) => service.close())))
  t.equal(services.length, names.length)
  const clients = await Promise.all(services.map(async ({ way, service }) => {
    const client = await service.client('alice')
    t.equal((await client.call('quick')).status, 200, way.name)
    return { way, service, client }
  }))
  await server.end()
  for (const { way, service, client } of clients) {
    const ran = service.plug.runs
    const refused = await client.call('quick')
    t.equal(refused.status, 503, `${way.name}: ${await refused.text()}`)
    t.ok(Number(refused.headers.get('retry-after')) > 0, way.name)
    t.equal(service.plug.runs, ran, `${way.name}: it has not run`)
    if (!way.name.startsWith('2026')) continue
    const { headers, ...request } = modernRequest(1, 'tools/list', {}, meta)
    const listed = await service.fetchAt(0)(`${MCP_URL}/mcp`, {
      ...request,
      headers: { ...headers, authorization: 'Bearer alice.client' }
    })
    t.equal(listed.status, 200, `${way.name}: lists need no store`)
  }
})
