import t from 'tap'
import { modernRequest } from '../../src/testing/modern-request.js'
import { readEvents, next } from '../support/raw-http.js'
import { RawClient } from '../support/mcp-harness.js'
import { runService, type ServiceProcess } from './service-process.js'

const OUTLAST = { name: 'outlast', arguments: {} }
const CLIENT = { 'io.modelcontextprotocol/clientCapabilities': {} }

/** Starts a call that never ends. @returns all that its client is told */
type Call = (service: ServiceProcess, token: string) => Promise<string>

const session: Call = async (service, token) => {
  const client = await new RawClient(service, token).connect()
  return await (await client.request('tools/call', OUTLAST)).text()
}
const sessionless: Call = async (service, token) =>
  await (await new RawClient(service, token).request('tools/call', OUTLAST)).text()
const modern: Call = async (service, token) => await callModern(service, token, OUTLAST, CLIENT)
const modernStream: Call = async (service, token) =>
  await callModern(service, token, { ...OUTLAST, name: 'outlast-aloud' }, { ...CLIENT, progressToken: 'p' })

async function callModern (
  service: ServiceProcess,
  token: string,
  call: typeof OUTLAST,
  meta: Record<string, unknown>
): Promise<string> {
  const { headers, ...init } = modernRequest(7, 'tools/call', call, meta)
  return await (await fetch(`${service.url}/mcp`, {
    ...init,
    headers: { ...headers, authorization: `Bearer ${token}` }
  })).text()
}
const sse: Call = async (service, token) => {
  const authorization = `Bearer ${token}`
  const events = readEvents(
    await fetch(`${service.url}/sse`, { headers: { authorization, accept: 'text/event-stream' } })
  )
  const { data = '' } = await next(events)
  const say = async (message: object) => {
    await fetch(new URL(data, service.url), {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', ...message })
    })
  }
  await say({
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'test', version: '1' } }
  })
  await next(events)
  await say({ method: 'notifications/initialized' })
  await say({ id: 2, method: 'tools/call', params: OUTLAST })
  let told = ''
  for await (const event of events) told += event.data ?? ''
  return told
}

const modes: Array<{ name: string, environment: NodeJS.ProcessEnv, calls: Record<string, Call> }> = [
  {
    name: 'SDK 1.x',
    environment: {},
    calls: {
      'session of 2025-11-25': session,
      '2026-07-28, bridged': modern,
      '2026-07-28, bridged, as a stream': modernStream,
      'HTTP+SSE': sse
    }
  },
  { name: 'SDK 1.x, as streams', environment: { STREAM_AFTER_MS: '50' }, calls: { 'session of 2025-11-25': session } },
  {
    name: 'SDK 2.x',
    environment: { FIXTURE_SDK: '2' },
    calls: {
      'session of 2025-11-25': session,
      '2026-07-28, native': modern,
      '2026-07-28, native, as a stream': modernStream,
      'HTTP+SSE': sse
    }
  },
  {
    name: 'SESSION_MODE=stateless',
    environment: { SESSION_MODE: 'stateless' },
    calls: { '2025-11-25': sessionless, '2026-07-28': modern }
  }
]

for (const { name, environment, calls } of modes) {
  t.test(`SIGTERM with calls that outlast SHUTDOWN_SECONDS: ${name}`, { timeout: 60_000 }, async t => {
    const service = await runService(t, { SHUTDOWN_SECONDS: '1', ...environment })
    const token = await service.logIn()
    const told = Object.entries(calls).map(([, call]) => call(service, token))
    await service.lines(/outlast began/, told.length)
    service.kill('SIGTERM')
    for (const [index, era] of Object.keys(calls).entries()) {
      t.match(await told[index], /"error":\{"code":-32000,"message":"[^"]*shutting down/, `${era}: the client is told`)
    }
    t.equal(await service.exited, 0, 'a clean end')
  })
}
