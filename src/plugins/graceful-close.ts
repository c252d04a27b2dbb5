import fp from 'fastify-plugin'

export interface GracefulCloseOptions {
  /** Time that requests in flight get to finish. */
  drainSeconds: number
}

/**
 * Lets requests finish before the app closes. With it the app takes `forceCloseConnections: true`: connections that never
 * carried a request would hold the closing up for a minute. Register it last, after what ends its own streams.
 */
export const gracefulClose = fp<GracefulCloseOptions>(async (app, { drainSeconds }) => {
  let inFlight = 0
  let idle = () => {}
  const done = () => { if (--inFlight === 0) idle() }

  app.addHook('onRequest', (_request, reply, next) => {
    inFlight++
    reply.raw.once('close', done)
    next()
  })
  // hooks of the app itself come first: in a context of its own, this one comes after those that end the streams
  await app.register(async last => {
    last.addHook('preClose', async () => {
      if (inFlight === 0) return
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>(resolve => {
        idle = resolve
        timer = setTimeout(resolve, drainSeconds * 1000)
      })
      clearTimeout(timer)
    })
  })
}, { name: 'graceful-close', fastify: '5.x' })
