import { modernRequest } from '../../src/testing/modern-request.js'
import { valueAt } from '../support/json.js'
import { next, parseData, readEvents } from '../support/raw-http.js'
import { logInAt, RawSession, type Login } from '../support/raw-session.js'
import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'
import { loadBalancer } from './load-balancer.js'

/*
 * Calls that say nothing for longer than the idle timeout of the load balancer, in every era and mode, over three
 * replicas.
 */
const { number } = scriptArguments('npx tsx test/replicas/quiet-calls.ts [--seconds 120] [--calls 3]')
const ms = number('seconds') * 1000
const calls = number('calls')

const input = (call: string) => ({ name: 'work', arguments: { call, ms, steps: 0 } })

/** The text of a result; else what came instead. */
async function readResult (response: Response): Promise<string> {
  if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) return await response.text()
  for await (const event of readEvents(response)) {
    const message = parseData(event)
    const text = valueAt(message, 'result', 'content', '0', 'text')
    if (text !== undefined) return String(text)
    if (valueAt(message, 'error') !== undefined) return event.data
  }
  return 'the stream ended without a response'
}

async function post (url: string, { accessToken }: Login, body: object, more: Record<string, string> = {}) {
  return await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${accessToken}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...more
    },
    body: JSON.stringify(body)
  })
}

type CallTool = (url: string, login: Login, call: string) => Promise<string>

const callModern: CallTool = async (url, { accessToken }, call) => {
  const request = modernRequest(1, 'tools/call', input(call), { 'io.modelcontextprotocol/clientCapabilities': {} })
  return await readResult(
    await fetch(`${url}/mcp`, {
      ...request,
      headers: { ...request.headers, authorization: `Bearer ${accessToken}` }
    })
  )
}

const callInSession: CallTool = async (url, login, call) => {
  const session = await RawSession.open(url, login)
  return await readResult(await session.post(url, session.toolCall('work', input(call).arguments)))
}

const callSessionless: CallTool = async (url, login, call) =>
  await readResult(
    await post(`${url}/mcp`, login, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: input(call) }, {
      'mcp-protocol-version': '2025-11-25'
    })
  )

const callOverSse: CallTool = async (url, login, call) => {
  const stream = await fetch(`${url}/sse`, {
    headers: { authorization: `Bearer ${login.accessToken}`, accept: 'text/event-stream' }
  })
  const events = readEvents(stream)
  const messages = new URL((await next(events)).data, url).href
  const send = async (message: object) => {
    await (await post(messages, login, { jsonrpc: '2.0', ...message })).text()
  }
  const clientInfo = { name: 'quiet', version: '1' }
  await send({ id: 0, method: 'initialize', params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo } })
  await next(events)
  await send({ method: 'notifications/initialized' })
  await send({ id: 1, method: 'tools/call', params: input(call) })
  for await (const event of events) {
    const message = parseData(event)
    if (valueAt(message, 'id') === 1) return String(valueAt(message, 'result', 'content', '0', 'text') ?? event.data)
  }
  return 'the stream ended without a response'
}

const MODES: ReadonlyArray<[mode: string, eras: Readonly<Record<string, CallTool>>]> = [
  ['stateful', { '2026-07-28': callModern, '2025-11-25': callInSession, '2024-11-05 (HTTP+SSE)': callOverSse }],
  ['stateless', { '2026-07-28': callModern, '2025-11-25': callSessionless }]
]

const report = new Report(`Calls of ${ms / 1000} s without a word, behind ${loadBalancer} and three replicas`)
await Promise.all(MODES.map(async ([mode, eras]) => {
  const cluster = await startCluster({
    replicas: 3,
    entry: 'test/replicas/counting-replica',
    environment: { SESSION_MODE: mode }
  })
  try {
    const login = await logInAt(cluster.url)
    await Promise.all(Object.entries(eras).map(async ([era, callTool]) => {
      const began = Date.now()
      const ids = Array.from({ length: calls }, (_, index) => `${era}-${index}`)
      const outcomes = await Promise.all(ids.map(async id => await callTool(cluster.url, login, id).catch(String)))
      const right = outcomes.filter((outcome, index) => outcome === ids[index])
      report.check(
        `${era}, SESSION_MODE=${mode}: ${right.length} of ${calls} calls have their result, after ${
          Math.round((Date.now() - began) / 1000)
        } s${right.length < calls ? ` (${outcomes.find(outcome => !right.includes(outcome))})` : ''}`,
        right.length === calls
      )
    }))
    const runs = [...countRuns(cluster.runsFile).values()]
    report.check(`0 of ${runs.length} calls ran twice`, runs.every(times => times === 1))
    const complaints = cluster.proxyErrors().length
    report.check(`the load balancer has no errors (${complaints})`, complaints === 0)
  } finally {
    await cluster.close()
  }
}))
report.end()
