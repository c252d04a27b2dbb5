import Fastify, { type FastifyInstance } from 'fastify'
import { createMemoryStores, mcpService, type CreateServer } from 'fastify-mcp-oauth'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import * as z from 'zod'

export interface AppOptions {
  /** The URL of this app as clients see it. */
  publicUrl: string
  /** Issuer of the authorization server whose tokens are taken, exactly as their `iss` has it. */
  issuer: string
}

const nothing = z.object({})

const createServer: CreateServer = () => {
  const server = new McpServer({ name: 'resource-server', version: '1.0.0' })
  server.registerTool('whoami', {
    title: 'Who am I',
    inputSchema: nothing,
    annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }
  }, (_input, { authInfo }) => ({
    content: [{ type: 'text', text: JSON.stringify({ subject: authInfo?.extra?.subject, scopes: authInfo?.scopes }) }]
  }))
  return server
}

export async function buildApp ({ publicUrl, issuer }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  app.addHook('onClose', () => stores.close())
  await app.register(mcpService, { publicUrl, createServer, stores, auth: { mode: 'resource-server', issuer } })
  return app
}
