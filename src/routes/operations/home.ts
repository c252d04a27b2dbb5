import type { FastifyPluginAsync } from 'fastify'
import { html } from 'ghtml'
import { clientSetups } from '../../pages/client-setups.js'
import type { ServerDescription } from '../../mcp/describe-server.js'
import { layout, type Page } from '../../pages/layout.js'
import { pages } from '../../plugins/scoped/pages.js'

export interface HomeOptions {
  /** The origin that clients see. */
  publicUrl: string
  /** Whether people can see what they are connected with: where logins are ours. */
  connections: boolean
  /** What the server says of itself, where that is for everybody. */
  describe?: () => Promise<ServerDescription>
}

// the button is of no use without it, and not there
const COPY = `
for (const button of document.querySelectorAll('button[data-copy]')) {
  button.hidden = false
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(button.dataset.copy)
    button.textContent = 'Copied'
  })
}
`

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

function homePage (publicUrl: string, connections: boolean, server: ServerDescription | undefined): Page {
  const mcpUrl = `${publicUrl}/mcp`
  return {
    script: COPY,
    html: layout(server?.name ?? 'MCP server', html`
      <h1>${server?.name ?? `The MCP server of ${new URL(publicUrl).host}`}</h1>
      <p>An AI assistant that speaks <a href="https://modelcontextprotocol.io">MCP</a> can use it for you. Give it this address, and log in:</p>
      <pre><code>${mcpUrl}</code></pre>
      <div class="buttons"><button type="button" class="primary" data-copy="${mcpUrl}" hidden>Copy the address</button></div>
      !${server === undefined || server.tools.length === 0
? ''
: html`
        <h2>Tools</h2>
        <ul>!${server.tools.map(({ name, description }) => html`<li><code>${name}</code> ${description ?? ''}</li>`)}</ul>`}
      !${clientSetups('my-server', mcpUrl).map(({ client, how, text }) => html`
        <h2>${client}</h2>
        <p class="soft">${how}</p>
        <pre><code>${text}</code></pre>`)}
      !${connections ? html`<h2>Your connected apps</h2><p><a href="${publicUrl}/oauth/connections">See and end what uses this server for you</a></p>` : ''}
      <script>!${COPY}</script>`)
  }
}
