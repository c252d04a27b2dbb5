import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { CreateServer } from 'fastify-mcp-oauth'
import * as z from 'zod'

const nothing = z.object({})
const failure = (text: string) => ({ content: [{ type: 'text' as const, text }], isError: true })

/** A server whose tool asks the API at `apiUrl` in the person's name. */
export function serverFor (apiUrl: URL): CreateServer {
  return ({ getUpstreamAccessToken, log }) => {
    const server = new McpServer({ name: 'upstream-api', version: '1.0.0' })
    server.registerTool('my_profile', {
      title: 'My profile',
      description: 'What the login server knows of you.',
      inputSchema: nothing,
      annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: true }
    }, async (_input, { signal }) => {
      // asked for at each call: it is refreshed when it has expired
      const token = await getUpstreamAccessToken()
      if (token === undefined) return failure('Your login there has ended. Log in again.')
      const answer = await fetch(apiUrl, { headers: { authorization: `Bearer ${token}` }, signal })
      if (!answer.ok) {
        log.warn({ status: answer.status }, 'the API refused')
        return failure(`The API answered ${answer.status}.`)
      }
      return { content: [{ type: 'text', text: JSON.stringify(await answer.json()) }] }
    })
    return server
  }
}
