import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { CallerInfo, CreateServer } from 'fastify-mcp-oauth'
import * as z from 'zod'
import type { Orders } from './orders.js'

const nothing = z.object({})
const item = z.object({ item: z.string().min(1) })
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

/** Who the caller is to this app. An address that nobody has verified could be anybody's. */
export function emailOf ({ extra: { claims = {} } }: CallerInfo): string | undefined {
  return claims.email_verified === true && typeof claims.email === 'string' ? claims.email : undefined
}

/** The app's orders, as tools. */
export function serverFor (orders: Orders): CreateServer {
  return ({ authInfo }) => {
    const email = emailOf(authInfo)
    if (email === undefined) throw new Error('The login server told no verified e-mail address.')
    const server = new McpServer({ name: 'orders', version: '1.0.0' })
    server.registerTool('list_orders', {
      title: 'List my orders',
      inputSchema: nothing,
      annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }
    }, () => text(orders.of(email).join('\n') || 'None yet.'))
    server.registerTool('order', {
      title: 'Order something',
      inputSchema: item,
      annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false }
    }, ({ item }) => text(`Order ${orders.add(email, item)} is made.`))
    return server
  }
}
