import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { serverOfSdk2, toolsOf } from '../servers/tools.js'
import { serveOnFastify } from './on-fastify.js'

/* Revision 2026-07-28 as the SDK's documents have it. */
const tools = toolsOf(Number(process.argv[3]))
const handler = toNodeHandler(createMcpHandler(() => serverOfSdk2(tools, McpServer), { legacy: 'reject' }))

serveOnFastify(app => {
  app.post('/mcp', async (request, reply) => {
    reply.hijack()
    await handler(request.raw, reply.raw, request.body)
  })
})
