import { isIP } from 'node:net'
import { isLoopbackUrl } from '../loopback.js'
import { bareHost, objectionTo } from '../oauth/client-documents/public-addresses.js'

/** How a person connects one MCP client to this server. */
export interface ClientSetup {
  client: string
  /** What to do, in words. */
  how: string
  /** What to type or paste there. */
  text: string
}

/**
 * How to connect from the clients people use.
 * @param mcpUrl URL of the Streamable HTTP endpoint
 */
export function clientSetups (mcpUrl: string): ClientSetup[] {
  const name = isLoopbackUrl(mcpUrl) ? 'demo' : 'my-server'
  const json = (value: unknown) => JSON.stringify(value)
  return [
    hosted(
      { client: 'Claude', how: 'Settings → Connectors → Add custom connector, with this URL', text: mcpUrl },
      'Claude on the web, on the desktop and on the phone calls from its own servers'
    ),
    {
      client: 'Claude Code',
      how: 'In a terminal, then /mcp to log in',
      text: `claude mcp add --transport http ${name} ${mcpUrl}`
    },
    hosted(
      {
        client: 'ChatGPT',
        how: 'Settings → Apps & Connectors → Advanced settings → Developer mode, then Create, with this URL and OAuth',
        text: mcpUrl
      },
      'ChatGPT calls from its own servers'
    ),
    { client: 'Cursor', how: 'In ~/.cursor/mcp.json', text: json({ mcpServers: { [name]: { url: mcpUrl } } }) },
    { client: 'VS Code', how: 'In a terminal', text: `code --add-mcp '${json({ name, type: 'http', url: mcpUrl })}'` },
    { client: 'Codex', how: 'In a terminal', text: `codex mcp add ${name} --url ${mcpUrl} && codex mcp login ${name}` },
    {
      client: 'Gemini CLI',
      how: 'In a terminal, then /mcp auth in it',
      text: `gemini mcp add --transport http ${name} ${mcpUrl}`
    },
    {
      client: 'MCP Inspector',
      how: 'In a terminal (Node 22 or later)',
      text: `npx @modelcontextprotocol/inspector --transport http --server-url ${mcpUrl}`
    },
    { client: 'Any client that only speaks stdio', how: 'As its command', text: `npx mcp-remote ${mcpUrl}` }
  ]
}

/** The setup of a client that calls from its vendor's servers; if they cannot reach this one, how they could. */
function hosted (setup: ClientSetup, why: string): ClientSetup {
  const url = new URL(setup.text)
  if (isPublic(url)) return setup
  return {
    client: setup.client,
    how: `${why}, which cannot reach ${url.origin}: this service needs a public https address. A tunnel is one: let ` +
      'the command below run, start the service again with PUBLIC_URL set to the https address that it prints, and ' +
      'follow this page there',
    text: `cloudflared tunnel --url ${url.origin}`
  }
}

/** Whether anybody on the internet may reach a URL, as far as it shows that. */
function isPublic (url: URL): boolean {
  const host = bareHost(url)
  if (url.protocol !== 'https:' || isLoopbackUrl(url)) return false
  return isIP(host) === 0 ? host.includes('.') && !PRIVATE_NAME.test(host) : objectionTo(host, url, false) === undefined
}

// RFC 6761, 6762, 8375, and what ICANN keeps for private use
const PRIVATE_NAME = /\.(?:localhost|local|lan|internal|home\.arpa|test|invalid|example)\.?$/
