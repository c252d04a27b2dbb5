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
 * @param name what the server will be called in the client
 * @param mcpUrl URL of the Streamable HTTP endpoint
 */
export function clientSetups (name: string, mcpUrl: string): ClientSetup[] {
  const json = (value: unknown) => JSON.stringify(value)
  return [
    { client: 'Claude', how: 'Settings → Connectors → Add custom connector, with this URL', text: mcpUrl },
    {
      client: 'Claude Code',
      how: 'In a terminal, then /mcp to log in',
      text: `claude mcp add --transport http ${name} ${mcpUrl}`
    },
    {
      client: 'ChatGPT',
      how: 'Settings → Apps & Connectors → Advanced settings → Developer mode, then Create, with this URL and OAuth',
      text: mcpUrl
    },
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
