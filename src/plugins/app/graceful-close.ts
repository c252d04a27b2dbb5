import { Server } from 'node:net'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import fp from 'fastify-plugin'

/** Waits until nothing runs, or `ms` have passed; what comes meanwhile is served. */
type Drain = (ms: number) => Promise<unknown>

declare module 'fastify' {
  interface FastifyInstance {
    /** Stops listening and waits for running requests: with `close` after it, no request is lost. */
    leave (): Promise<void>
    /** Whether this process is leaving, or has left: it is not ready. */
    isLeaving (): boolean
    /** Adds what `leave` waits for. */
    addDrain (drain: Drain): void
    /**
     * Milliseconds until everything that still runs is ended: one deadline for all that closes. It starts with the
     * first call, in `leave` or when the app closes.
     */
    timeToClose (): number
    /** Waits until all responses are over, or the time for it has passed. */
    finishResponses (): Promise<void>
  }
}

/** The name of the plugin: only with it are `addDrain` and `timeToClose` ours. */
export const GRACEFUL_CLOSE = 'fastify-mcp-oauth/graceful-close'

export interface GracefulCloseOptions {
  /** Time in which readiness fails already and all is served as before: load balancers turn to other replicas. */
  delaySeconds: number
  /** Time that requests in flight get to finish after that. */
  drainSeconds: number
}

// A connection idle this long will not be used again. Load balancers that fail to connect retry on their remaining
// connections after about a second.
const QUIET_MS = 1500
const SHORT_TURN_MS = 1
const WAIT_FOR_SHORT_TURN_MS = 1000
// what is ended at the deadline gets an error, which must reach the client
const LAST_WORDS_MS = 1000

/**
 * Shuts down without dropping requests. Closing an idle connection races with a request already on its way, so we stop
 * listening, send `Connection: close` with the next response on each connection, and only destroy connections that stay
 * unused. Register it before what is drained.
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
    let before: number
    do {
      before = arrived
      await Promise.all(drains.map(drain => drain(app.timeToClose())))
      if (await countConnections(app.server) > 0) await delay(Math.min(QUIET_MS, app.timeToClose()))
      // requests that arrived in the meantime are read before they are counted
      await setImmediate()
      await setImmediate()
    } while (arrived > before && app.timeToClose() > 0)
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
 * `forceCloseConnections: true`: connections that never carried a request would hold the closing up for a minute.
 * Register it last, after what ends its own streams.
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
  // connections that wait to be accepted are reset with the socket: after a short turn of the event loop there are
  // hardly any
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
