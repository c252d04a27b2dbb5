import fp from 'fastify-plugin'
import { createBroker, type Broker } from '../../oauth/broker.js'
import type { BrokerOptions } from '../../oauth/options.js'

export type { Broker }

declare module 'fastify' {
  interface FastifyInstance {
    /** The authorization server that brokers to the upstream. */
    oauthBroker: Broker
  }
}

/** Makes the broker of this context, and lets go of it when the app closes. */
export const broker = fp<Omit<BrokerOptions, 'log'>>(async (app, options) => {
  const broker = createBroker({ ...options, log: app.log })
  app.decorate('oauthBroker', broker)
  app.addHook('onClose', async () => { broker.close() })
}, { name: 'broker', fastify: '5.x' })
