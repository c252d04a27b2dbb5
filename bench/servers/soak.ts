import { createHook } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import '../../src/plugins/mcp/sessions.js'
import type { Bus, BusMessages, BusTopic } from '../../src/stores/bus.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { answerCalls } from '../child.js'
import { bearerAuthOptions, busyPeople } from './served.js'

/* The server that is soaked: the transports with short lives, so that all that must end does so while it is watched. */

const IDLE_SECONDS = 10

/** What the process holds, after garbage collection. */
export interface Held {
  rssMb: number
  heapMb: number
  sessions: number
  instances: number
  streams: number
  records: number
  logBytes: number
  /** Timers, those included that do not keep the process alive. */
  timers: number
  subscriptions: number
  /** Names and numbers of what keeps the process alive. */
  resources: Record<string, number>
}

export type SoakedCalls = {
  url: () => Promise<string>
  held: () => Promise<Held>
  /** Closes the app and its stores. */
  close: () => Promise<void>
}

const timers = new Set<number>()
createHook({
  init: (asyncId, type) => { if (type === 'Timeout') timers.add(asyncId) },
  destroy: asyncId => { timers.delete(asyncId) }
}).enable()

class CountingBus implements Bus {
  readonly #bus = new MemoryBus()
  subscriptions = 0

  publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void> {
    return this.#bus.publish(topic, message)
  }

  send<T extends BusTopic> (replicaId: string, topic: T, message: BusMessages[T]): Promise<void> {
    return this.#bus.send(replicaId, topic, message)
  }

  onGap (): () => void {
    return this.#bus.onGap()
  }

  listenAs (replicaId: string): () => void {
    return this.#bus.listenAs(replicaId)
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    const leave = this.#bus.subscribe(topic, listener)
    this.subscriptions++
    return () => {
      this.subscriptions--
      leave()
    }
  }
}

const jsonSchemaValidator = new AjvJsonSchemaValidator()
const countInput = z.object({ to: z.number(), intervalMs: z.number(), aside: z.boolean().optional() })
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

const createServer: CreateServer = () => {
  const server = new McpServer({ name: 'soak', version: '1.0.0' }, {
    jsonSchemaValidator,
    capabilities: { logging: {} }
  })
  server.registerTool(
    'count',
    { inputSchema: countInput },
    async ({ to, intervalMs, aside = false }, { sendNotification }) => {
      for (let data = 0; data < to; data++) {
        const params = { level: 'info' as const, data }
        if (aside) await server.sendLoggingMessage(params)
        else await sendNotification({ method: 'notifications/message', params })
        if (intervalMs > 0) await delay(intervalMs)
      }
      return text('counted')
    }
  )
  server.registerTool('hang', {}, async ({ signal }) => {
    await new Promise(resolve => { signal.addEventListener('abort', resolve, { once: true }) })
    return text('aborted')
  })
  return server
}

const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
const sessions = new MemorySessionStore({ idleSeconds: IDLE_SECONDS })
const eventLog = new MemoryEventLog({ retentionSeconds: IDLE_SECONDS })
const bus = new CountingBus()

async function listen (): Promise<string> {
  await app.register(bearerAuth, bearerAuthOptions)
  await app.register(mcpTransports, {
    publicUrl: 'http://127.0.0.1',
    createServer,
    sessions,
    eventLog,
    leases: new MemoryLeaseStore(),
    bus,
    limits: {
      ...busyPeople,
      idleSeconds: IDLE_SECONDS,
      lifetimeSeconds: 60,
      instanceIdleSeconds: 1,
      maxLiveInstances: 500
    },
    streams: { silenceMs: 100, heartbeatMs: 1000, retryMs: 10 }
  })
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

async function held (): Promise<Held> {
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    await delay(20)
  }
  const { rss, heapUsed } = process.memoryUsage()
  const resources: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
  return {
    rssMb: rss / 2 ** 20,
    heapMb: heapUsed / 2 ** 20,
    ...app.mcpSessions.counts,
    records: sessions.size,
    logBytes: eventLog.bytes,
    timers: timers.size,
    subscriptions: bus.subscriptions,
    resources
  }
}

const url = listen()
answerCalls({
  url: () => url,
  held,
  close: async () => {
    await app.close()
    sessions.close()
    eventLog.close()
  }
} satisfies SoakedCalls)
