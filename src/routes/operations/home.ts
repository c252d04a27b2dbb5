import type { FastifyPluginAsync } from 'fastify'
import type { ServerDescription } from '../../mcp/describe-server.js'
import type { Page } from '../../pages/layout.js'
import { pages } from '../../plugins/scoped/pages.js'
import { homePage } from '../../pages/home.js'

export interface HomeOptions {
  /** The origin that clients see. */
  publicUrl: string
  /** Whether people can see what they are connected with: where logins are ours. */
  connections: boolean
  /** What the server says of itself, where that is for everybody. */
  describe?: () => Promise<ServerDescription>
}

/** `GET /`: what this server is and how to connect, for people who open its address in a browser. */
export const homeRoute: FastifyPluginAsync<HomeOptions> = async (app, { publicUrl, connections, describe }) => {
  let described: Promise<Page> | undefined

  await app.register(pages)
  app.get('/', async (request, reply) => {
    described ??= (describe?.() ?? Promise.resolve(undefined)).then(server => homePage(publicUrl, connections, server))
    const page = await described.catch((err: unknown) => {
      request.log.warn({ err }, 'the server did not describe itself')
      described = undefined
      return homePage(publicUrl, connections, undefined)
    })
    return reply.sendPage(page)
  })
}
