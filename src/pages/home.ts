import { html } from 'ghtml'
import type { ServerDescription } from '../mcp/describe-server.js'
import { clientSetups } from './client-setups.js'
import { type Page, layout } from './layout.js'

// without this script the button stays hidden
const COPY = `
for (const button of document.querySelectorAll('button[data-copy]')) {
  button.hidden = false
  button.addEventListener('click', async () => {
    const text = button.dataset.copy
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      // on plain http, browsers have no navigator.clipboard
      const field = document.createElement('textarea')
      field.value = text
      document.body.append(field)
      field.select()
      const copied = document.execCommand('copy')
      field.remove()
      if (!copied) {
        getSelection().selectAllChildren(document.querySelector('code'))
        button.textContent = 'Press Ctrl+C'
        return
      }
    }
    button.textContent = 'Copied'
  })
}
`

export interface HomePageOptions {
  /** The URL of the service as clients see it. */
  publicUrl: string
  /** Whether people log in here, and so can see which applications they have connected. */
  connections: boolean
  /** The MCP servers; with a title if there are several. */
  servers: ReadonlyArray<{
    title: string | undefined
    /** From the service. */
    path: string
    /** What the server says about itself, if everybody may see it. */
    description: ServerDescription | undefined
  }>
  /** Of a demo: where people log in, by any name. */
  demoLogin?: string | undefined
  /** Whether the page was opened under the name that clients must use. */
  isOwnName: boolean
}

/** How to log in at the demo upstream. */
export function demoLoginText (issuer: string): string {
  return `Login: any name, any password, at the demo authorization server ${issuer} (set OAUTH_PROVIDER or OAUTH_ISSUER_URL to use yours)`
}

/** What this server is, or what servers are here, and how to connect. */
export function homePage ({ publicUrl, connections, servers, isOwnName, demoLogin }: HomePageOptions): Page {
  const [first = { title: undefined, path: '', description: undefined }] = servers
  const { host } = new URL(publicUrl)
  const isOne = first.title === undefined
  const { name = `The MCP server${isOne ? '' : 's'} of ${host}` } = (isOne && first.description) || {}
  const [these, address] = isOne ? ['this server', 'this address'] : ['these servers', 'the address of one']
  return {
    script: COPY,
    html: layout(name, html`
      <h1>${name}</h1>
      <p>AI assistants that support <a href="https://modelcontextprotocol.io">MCP</a> can use ${these} for you. Give
      your assistant ${address}, then log in:</p>
      !${servers.map(server => serverPart(publicUrl, server))}
      !${isOwnName ? '' : otherNameWarning(publicUrl, host)}
      !${demoLogin === undefined ? '' : html`<p>${demoLoginText(demoLogin)}</p>`}
      !${setupParts(`${publicUrl}${first.path}/mcp`)}
      !${
        connections
          ? html`<h2>Your connected apps</h2><p><a href="${publicUrl}/oauth/connections">See
            which applications use this server for you, and disconnect them</a></p>`
          : ''
      }
      <script>!${COPY}</script>`
    )
  }
}

function setupParts (mcpUrl: string): string[] {
  return clientSetups(mcpUrl).map(({ client, how, text }) =>
    html`
        <h2>${client}</h2>
        <p class="soft">${how}</p>
        <pre><code>${text}</code></pre>`
  )
}

function otherNameWarning (publicUrl: string, host: string): string {
  return html`<p class="warning" role="note"><strong>You came by another name.</strong> Use
    <a href="${publicUrl}">${host}</a>, exactly so: under any other, also 127.0.0.1 for
    localhost, applications refuse the login.</p>`
}

function serverPart (publicUrl: string, { title, path, description }: HomePageOptions['servers'][number]): string {
  const mcpUrl = `${publicUrl}${path}/mcp`
  return html`
    !${title === undefined ? '' : html`<h2>${title}</h2>`}
    <pre><code>${mcpUrl}</code></pre>
    <div class="buttons"><button type="button" class="primary" data-copy="${mcpUrl}" hidden>Copy the address</button></div>
    !${description === undefined || description.tools.length === 0
      ? ''
      : html`
      !${title === undefined ? '<h2>Tools</h2>' : '<h3>Tools</h3>'}
      <ul>!${
        description.tools.map(({ name, description }) => html`<li><code>${name}</code> ${description ?? ''}</li>`)
      }</ul>`
    }`
}
