import type { FastifyPluginAsync } from 'fastify'
import { html } from 'ghtml'
import { clientSetups } from '../client-setup.js'
import { layout } from '../page.js'
import { pages } from '../plugins/pages.js'

export interface HomeOptions {
  /** The origin that clients see. */
  publicUrl: string
}

/** `GET /`: how to connect, for people who open the server's address in a browser. */
export const homeRoute: FastifyPluginAsync<HomeOptions> = async (app, { publicUrl }) => {
  const mcpUrl = `${publicUrl}/mcp`
  const page = layout('MCP server', html`
    <h1>This is an MCP server</h1>
    <p>Its address, for any MCP client:</p>
    <p><code>${mcpUrl}</code></p>
    !${clientSetups('my-server', mcpUrl).map(({ client, how, text }) => html`
      <h2>${client}</h2>
      <p class="soft">${how}</p>
      <pre><code>${text}</code></pre>`)}`)

  await app.register(pages)
  app.get('/', async (_request, reply) => reply.sendPage({ html: page }))
}
