import type { FastifyPluginAsync } from 'fastify'
import type { ServerDescription } from '../../mcp/describe-server.js'
import type { Page } from '../../pages/layout.js'
import { pages } from '../../plugins/scoped/pages.js'
import { homePage } from '../../pages/home.js'
import { pageResponse } from '../schemas/responses.js'

export interface HomeOptions {
  /** The origin that clients see. */
  publicUrl: string
  /** Whether people log in here, and so can see which applications they have connected. */
  connections: boolean
  /** What the server says about itself, if everybody may see it. */
  describe?: () => Promise<ServerDescription>
}

const schema = {
  tags: ['operations'],
  summary: 'How to connect, for people',
  response: { 200: pageResponse('The page.') }
}

/** `GET /`: what this server is and how to connect, for people who open its address in a browser. */
export const homeRoute: FastifyPluginAsync<HomeOptions> = async (app, { publicUrl, connections, describe }) => {
  let described: Promise<Page> | undefined

  await app.register(pages)
  app.get('/', { schema }, async (request, reply) => {
    described ??= (describe?.() ?? Promise.resolve(undefined)).then(server => homePage(publicUrl, connections, server))
    const page = await described.catch((err: unknown) => {
      request.log.warn({ err }, 'the server could not be described')
      described = undefined
      return homePage(publicUrl, connections, undefined)
    })
    return reply.sendPage(page)
  })
}
