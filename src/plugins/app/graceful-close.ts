import { Server } from 'node:net'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'

/** Waits until nothing runs, or `ms` have passed; what comes meanwhile is served. */
type Drain = (ms: number) => Promise<unknown>

declare module 'fastify' {
  interface FastifyInstance {
    /** Turns everybody away, and lets what runs finish: with `close` after it, no request is lost. */
    leave (): Promise<void>
    /** Whether this process leaves, or has left: it is not ready. */
    isLeaving (): boolean
    /** Adds what `leave` waits for. */
    addDrain (drain: Drain): void
    /**
     * Milliseconds until whatever still runs is given up: one deadline for all that closes. It counts from the first
     * who asks, in `leave` or when the app closes.
     */
    timeToClose (): number
    /** Waits until all responses are over, or the time for it has passed. */
    finishResponses (): Promise<void>
  }
}

/** The name of the plugin: an app has `addDrain` and `timeToClose` of ours only if it has the plugin. */
export const GRACEFUL_CLOSE = 'fastify-mcp-oauth/graceful-close'

export interface GracefulCloseOptions {
  /** Time in which readiness fails already and all is served as before: load balancers turn to other replicas. */
  delaySeconds: number
  /** Time that requests in flight get to finish after that. */
  drainSeconds: number
}

// who has a connection of ours and has not used it for so long is not about to; load balancers that found nobody at the
// socket try again after a second, on the connections they have left
const QUIET_MS = 1500
const SHORT_TURN_MS = 1
const WAIT_FOR_SHORT_TURN_MS = 1000
// what was given up at the deadline is told so, and that has to reach the client
const LAST_WORDS_MS = 1000

/**
 * Leaving without losing a request. Whoever cuts an idle connection may cut off a request that is under way on it: so the
 * listening socket closes alone, connections end with the answer to their next request (`Connection: close`), and what is
 * cut at last is what nobody uses. Register it before what is drained.
 */
export const gracefulClose = fp<GracefulCloseOptions>(async (app, { delaySeconds, drainSeconds }) => {
  const drains: Drain[] = []
  let [leaving, listening] = [false, true]
  let [arrived, inFlight] = [0, 0]
  let idle = () => {}
  let deadline: number | undefined
  const done = () => { if (--inFlight === 0) idle() }

  app.addHook('onRequest', (_request, reply, next) => {
    arrived++
    inFlight++
    reply.raw.once('close', done)
    if (!listening) reply.header('connection', 'close')
    next()
  })
  app.decorate('isLeaving', () => leaving)
  app.decorate('timeToClose', () => {
    deadline ??= Date.now() + drainSeconds * 1000
    return Math.max(0, deadline - Date.now())
  })
  app.decorate('addDrain', drain => { drains.push(drain) })
  app.decorate('leave', async () => {
    leaving = true
    await delay(delaySeconds * 1000)
    await stopListening(app.server)
    listening = false
    let heard: number
    do {
      heard = arrived
      await Promise.all(drains.map(drain => drain(app.timeToClose())))
      if (await countConnections(app.server) > 0) await delay(Math.min(QUIET_MS, app.timeToClose()))
      // what came meanwhile is read before it is looked for
      await setImmediate()
      await setImmediate()
    } while (arrived > heard && app.timeToClose() > 0)
  })
  app.decorate('finishResponses', async () => {
    if (inFlight === 0) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      idle = resolve
      timer = setTimeout(resolve, app.timeToClose() + LAST_WORDS_MS)
    })
    clearTimeout(timer)
  })
}, { name: GRACEFUL_CLOSE, fastify: '5.x' })

/**
 * Lets responses finish before the app closes, whether it has left before or not. With it the app takes
 * `forceCloseConnections: true`: connections that never carried a request would hold the closing up for a minute. Register
 * it last, after what ends its own streams.
 */
export const finishResponses = fp(async app => {
  // hooks of the app itself come first: in a context of its own, this one comes after those that end the streams
  await app.register(async last => { last.addHook('preClose', () => app.finishResponses()) })
}, {
  name: 'fastify-mcp-oauth/finish-responses',
  fastify: '5.x',
  dependencies: [GRACEFUL_CLOSE]
})

/** Closes the listening socket, and no connection. */
async function stopListening (server: Server): Promise<void> {
  // connections that wait to be accepted are reset with the socket: after a short turn of the event loop there are hardly any
  const latest = performance.now() + WAIT_FOR_SHORT_TURN_MS
  for (
    let [begun, now] = [-Infinity, performance.now()];
    now - begun > SHORT_TURN_MS && now < latest;
    now = performance.now()
  ) {
    begun = now
    await setImmediate()
  }
  if (!server.listening) return
  // not that of http, which cuts connections that are idle; an HTTP server of Bun has no other
  const { close } = server instanceof Server ? Server.prototype : server
  close.call(server)
}

async function countConnections (server: Server): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.getConnections((error, count) => { if (error === null) resolve(count); else reject(error) })
  })
}
