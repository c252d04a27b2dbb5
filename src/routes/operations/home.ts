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
    /** Which tools everybody may know of, at the moment. Default: all. */
    isShown?: (tool: string) => boolean
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
  let described: Promise<ReadonlyArray<ServerDescription | undefined>> | undefined
  // made again if the policy shows other tools
  let made: { of: string, own: Page, other: Page } | undefined

  const makePages = (descriptions: ReadonlyArray<ServerDescription | undefined>) => {
    const shown = servers.map(({ title, path, isShown = () => true }, at) => {
      const description = descriptions[at]
      const tools = description?.tools.filter(({ name }) => isShown(name)) ?? []
      return { title, path, description: description && { ...description, tools } }
    })
    const of = JSON.stringify(shown.map(({ description }) => description?.tools.map(({ name }) => name) ?? null))
    if (made?.of === of) return made
    const page = { publicUrl, connections, demoLogin, servers: shown }
    made = { of, own: homePage({ ...page, isOwnName: true }), other: homePage({ ...page, isOwnName: false }) }
    return made
  }

  await app.register(pages)
  app.get('/', { schema }, async (request, reply) => {
    described ??= Promise.all(servers.map(async ({ describe }) => await describe?.()))
    const descriptions = await described.catch((err: unknown) => {
      request.log.warn({ err }, 'the server could not be described')
      described = undefined
      return []
    })
    const { own, other } = makePages(descriptions)
    return reply.sendPage(isHostOf(publicUrl, request.headers.host) ? own : other)
  })
}
