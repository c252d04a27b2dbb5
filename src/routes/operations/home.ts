import type { FastifyPluginAsync } from 'fastify'
import { isHostOf } from '../../validation/authorities.js'
import type { ServerDescription } from '../../mcp/describe-server.js'
import type { Page } from '../../pages/layout.js'
import { pages } from '../../plugins/scoped/pages.js'
import { homePage } from '../../pages/home.js'
import { pageResponse } from '../schemas/responses.js'

export interface HomeOptions {
  /** The URL of the service as clients see it. */
  publicUrl: string
  /** Whether people log in here, and so can see which applications they have connected. */
  connections: boolean
  /** Of a demo: where people log in, by any name. */
  demoLogin?: string | undefined
  /** The MCP servers; with a title if there are several. */
  servers: ReadonlyArray<{
    title?: string
    /** From the service. */
    path: string
    /** What the server says about itself, if everybody may see it. */
    describe?: () => Promise<ServerDescription>
  }>
}

const schema = {
  tags: ['operations'],
  summary: 'How to connect, for people',
  response: { 200: pageResponse('The page.') }
}

/** `GET /`: what this server is and how to connect, for people who open its address in a browser. */
export const homeRoute: FastifyPluginAsync<HomeOptions> = async (
  app,
  { publicUrl, connections, demoLogin, servers }
) => {
  let described: Promise<(isOwnName: boolean) => Page> | undefined

  const makePages = (descriptions: ReadonlyArray<ServerDescription | undefined>) => {
    const shown = servers.map(({ title, path }, at) => ({ title, path, description: descriptions[at] }))
    const page = { publicUrl, connections, demoLogin, servers: shown }
    const own = homePage({ ...page, isOwnName: true })
    const other = homePage({ ...page, isOwnName: false })
    return (isOwnName: boolean) => isOwnName ? own : other
  }

  await app.register(pages)
  app.get('/', { schema }, async (request, reply) => {
    described ??= Promise.all(servers.map(async ({ describe }) => await describe?.())).then(makePages)
    const show = await described.catch((err: unknown) => {
      request.log.warn({ err }, 'the server could not be described')
      described = undefined
      return makePages([])
    })
    return reply.sendPage(show(isHostOf(publicUrl, request.headers.host)))
  })
}
