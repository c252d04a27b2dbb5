import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { Server as Server2 } from '@modelcontextprotocol/server'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { valueAt } from '../../test/support/json.js'
import { answerCalls } from '../child.js'
import { tokenOf } from '../tokens.js'
import { listen } from './listen.js'
import { busyPeople } from './served.js'
import { WatchedReader } from './watched-reader.js'

/*
 * A server whose tool `flood` sends as much as it is told to. Arguments: the server (`sdk1`, `sdk2`; `bare`: the SDK's
 * own transport, without this project), `stateful` or `stateless`, the milliseconds after which a client that takes
 * nothing is disconnected, and the URL of Redis, if it is to keep things there.
 */
const [kind = 'sdk1', sessionMode, stalledMs = '30000', redisUrl] = process.argv.slice(2)

/** What the process has been through since it was last asked. */
export interface Strain {
  /** Milliseconds that the tool's loop took, those of CPU time in it, and how many of its messages were refused. */
  loopMs: number
  loopCpuMs: number
  refused: number
  /** Milliseconds of the longest turn of the event loop. */
  stallMs: number
  /** Megabytes above what the process had before. */
  rssMb: number
}

export type FloodingCalls = {
  url: () => Promise<string>
  /** Begins to measure. */
  begin: () => void
  strain: () => Strain
  /** Waits until the reader has no response. @returns the most bytes that waited for it */
  readerIsOver: () => Promise<number>
  /** Sends as the tool does, over a transport that does nothing. */
  sendToNobody: (count: number) => Promise<Strain>
}

interface LogMessage { method: 'notifications/message', params: { level: 'info', data: string } }
type Send = (message: LogMessage) => Promise<void>

const info = { name: 'flood', version: '1' }
const capabilities = { tools: {}, logging: {} }
const delays = monitorEventLoopDelay({ resolution: 1 })
delays.enable()
const reader = new WatchedReader(tokenOf(0))
const told = { loopMs: 0, loopCpuMs: 0, refused: 0, rss: 0 }

async function flood (send: Send, given: unknown) {
  const [count, padding] = [Number(valueAt(given, 'count')), 'x'.repeat(Number(valueAt(given, 'bytes')))]
  let pending = 0
  let settled = () => {}
  const all = new Promise<void>(resolve => { settled = resolve })
  const over = (isRefused: boolean) => {
    if (isRefused) told.refused++
    if (--pending === 0) settled()
  }
  reader.isCalled()
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  for (let number = 0; number < count; number++) {
    const sending = send({ method: 'notifications/message', params: { level: 'info', data: `${number} ${padding}` } })
    if (valueAt(given, 'isAwaited') === true) {
      await sending.catch(() => { told.refused++ })
    } else if (valueAt(given, 'isCounted') === true) {
      pending++
      sending.then(() => { over(false) }, () => { over(true) })
    } else {
      // what a server does that waits for nothing
      sending.catch(() => { told.refused++ })
    }
  }
  told.loopMs = performance.now() - began
  const { user, system } = process.cpuUsage(cpu)
  told.loopCpuMs = (user + system) / 1000
  if (pending > 0) await all
  const text = `sent ${count}, ${told.refused} refused`
  return { content: [{ type: 'text' as const, text: text.padEnd(Number(valueAt(given, 'result') ?? 0)) }] }
}

const createServer: CreateServer = () => {
  if (kind === 'sdk2') {
    const server = new Server2(info, { capabilities })
    server.fallbackRequestHandler = async ({ params }, { mcpReq: { notify } }) => await called(params, notify)
    return server
  }
  const server = new Server1(info, { capabilities })
  server.fallbackRequestHandler = async ({ params }, { sendNotification }) =>
    await called(params, valueAt(params, 'arguments', 'isOfSession') === true
      ? server.notification.bind(server)
      : sendNotification)
  return server
}

async function called (params: unknown, send: Send) {
  return valueAt(params, 'name') === 'flood'
    ? await flood(send, valueAt(params, 'arguments'))
    : { content: [{ type: 'text' as const, text: 'at once' }] }
}

async function listenWithPlugins (): Promise<string> {
  const stores = redisUrl === undefined
    ? createMemoryStores({ sessionIdleSeconds: 3600 })
    : createRedisStores({ url: redisUrl, sessionIdleSeconds: 3600 })
  return await listen(stores, {
    createServer,
    sessionMode: sessionMode === 'stateless' ? 'stateless' : 'stateful',
    limits: busyPeople,
    streams: { stalledMs: Number(stalledMs) }
  }, app => { reader.watch(app) })
}

/** The SDK's transport on Node's own server, each POST with its own. */
async function listenBare (): Promise<string> {
  const http = createHttpServer((request, response) => {
    const serve = async () => {
      const server = new Server1(info, { capabilities })
      server.fallbackRequestHandler = async ({ params }, { sendNotification }) => await called(params, sendNotification)
      const transport = new StreamableHTTPServerTransport({})
      await server.connect(transport)
      await transport.handleRequest(request, response)
    }
    serve().catch((error: unknown) => { response.destroy(error instanceof Error ? error : undefined) })
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const address = http.address()
  if (typeof address !== 'object' || address === null) throw new Error('There is no port.')
  return `http://127.0.0.1:${address.port}`
}

function readStatus (name: string): number {
  const [, kilobytes] = new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kilobytes) / 1024
}

function begin (): void {
  globalThis.gc?.()
  // the peak is counted from here
  writeFileSync('/proc/self/clear_refs', '5')
  Object.assign(told, { loopMs: 0, loopCpuMs: 0, refused: 0, rss: readStatus('VmRSS') })
  reader.reset()
  delays.reset()
}

function strain (): Strain {
  const { rss, ...counted } = told
  return { ...counted, stallMs: delays.max / 1e6, rssMb: readStatus('VmHWM') - rss }
}

async function sendToNobody (count: number): Promise<Strain> {
  const server = new Server1(info, { capabilities })
  await server.connect({ async start () {}, async send () {}, async close () {} })
  begin()
  // the first delay after that is not counted
  await delay(50)
  await flood(server.notification.bind(server), { count, bytes: 20 })
  await delay(50)
  return strain()
}

const url = kind === 'bare' ? listenBare() : listenWithPlugins()
answerCalls({
  url: () => url, begin, strain, readerIsOver: () => reader.isOver(), sendToNobody
} satisfies FloodingCalls)
