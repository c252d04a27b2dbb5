import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  createMemoryStores,
  InvalidTokenError,
  mcpDiscovery,
  mcpService,
  mcpServiceParts,
  type CallerInfo,
  type CreateServer,
  type HostAuthModeOptions
} from 'fastify-mcp-oauth'
import { assertPluggable } from 'fastify-mcp-oauth/testing'
import * as z from 'zod'

/* A project that has installed the package: it type-checks, and a call goes through. */

const createServer: CreateServer = ({ log }) => {
  const server = new McpServer({ name: 'consumer', version: '1.0.0' })
  server.registerTool('shout', { inputSchema: { text: z.string() } }, ({ text }, { authInfo }) => {
    log.debug('shouting')
    return { content: [{ type: 'text', text: `${text.toUpperCase()}, ${String(authInfo?.extra?.subject)}!` }] }
  })
  return server
}

async function verifyAccessToken (token: string): Promise<CallerInfo> {
  if (token !== 'alice') throw new InvalidTokenError('Nobody here has this token.')
  return {
    token,
    clientId: 'a-client',
    scopes: ['mcp'],
    extra: { issuer: 'https://login.example.com', subject: 'alice' }
  }
}

const stores = createMemoryStores({ sessionIdleSeconds: 60 })
const options: HostAuthModeOptions = {
  publicUrl: 'http://localhost',
  createServer,
  stores,
  auth: { mode: 'host', verifyAccessToken, authorizationServers: ['https://login.example.com'] }
}

export async function buildApp (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(async ai => {
    await ai.register(mcpServiceParts, options)
    ai.get('/me', { onRequest: ai.bearerAuth }, async request => {
      const subject: string | undefined = request.authInfo?.extra.subject
      const sessions: number = ai.mcpSessions.counts.sessions
      return { subject, sessions }
    })
  }, { prefix: '/ai' })
  await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
  return app
}

const app = await buildApp()
const headers = { authorization: 'Bearer alice', accept: 'application/json, text/event-stream' }
const post = async (message: object, more = {}) =>
  await app.inject({
    method: 'POST',
    url: '/ai/mcp',
    headers: { ...headers, ...more },
    payload: { jsonrpc: '2.0', id: 1, ...message }
  })
const begun = await post({
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'consumer', version: '1' } }
})
const called = await post({ method: 'tools/call', params: { name: 'shout', arguments: { text: 'hello' } } }, {
  'mcp-session-id': begun.headers['mcp-session-id']
})
process.stdout.write(`${called.body}\n`)
process.stdout.write(`${(await app.inject({ url: '/ai/me', headers })).body}\n`)
process.stdout.write(`${(await app.inject({ url: '/.well-known/oauth-protected-resource/ai/mcp' })).body}\n`)
await app.close()
await assertPluggable({
  createHost: () => Fastify(),
  plug: async host => {
    await host.register(mcpService, { ...options, prefix: '/ai' })
  }
})
await stores.close()
