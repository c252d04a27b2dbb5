import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { ControlledServer } from '../../test/support/controlled-server.js'
import { answerCalls } from '../child.js'
import { listen } from './listen.js'
import { busyPeople } from './served.js'

/* A server for many idle streams. Arguments: how many, and the URL of Redis, if it is to keep things there. */
const [count = '1', redisUrl] = process.argv.slice(2)
const most = Number(count) + 1000
const AFTER_COLLECTION_MS = 2000

export type IdlingCalls = {
  url: () => Promise<string>
  /** Begins to measure. */
  begin: () => Promise<void>
  /** Milliseconds that the event loop was late: at most, and in 99.9 % of the looks; bytes of the process. */
  strain: () => { stallMs: number, p999Ms: number, rss: number }
}

const delays = monitorEventLoopDelay({ resolution: 5 })
const createServer = new ControlledServer().createServer

const stores = redisUrl === undefined
  ? createMemoryStores({ sessionIdleSeconds: 3600, maxSessions: most })
  : createRedisStores({ url: redisUrl, sessionIdleSeconds: 3600 })
const url = listen(stores, {
  createServer,
  // so many that their instances are dropped while it is measured
  limits: { ...busyPeople, maxStreams: most, maxLiveInstances: most, maxOpenResponses: 2 * most }
})
answerCalls({
  url: () => url,
  async begin () {
    globalThis.gc?.()
    // what a forced collection leaves to do is not part of what is measured
    await delay(AFTER_COLLECTION_MS)
    delays.enable()
    delays.reset()
  },
  strain: () => ({
    stallMs: delays.max / 1e6,
    p999Ms: delays.percentile(99.9) / 1e6,
    rss: process.memoryUsage().rss
  })
} satisfies IdlingCalls)
