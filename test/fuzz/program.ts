import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import pino from 'pino'
import { hostedServers } from './hosted-servers.js'

/* The server of SDK 1.x, as a program. */
const server = await hostedServers['SDK 1.x']({
  era: 'legacy',
  authInfo: { token: '', clientId: '', scopes: [], extra: { issuer: '', subject: '' } },
  log: pino({ enabled: false }),
  getUpstreamAccessToken: async () => undefined,
  announce () {}
})
if (!(server instanceof McpServer)) throw new Error('It is not a server of SDK 1.x.')
await server.connect(new StdioServerTransport())
