import { join } from 'node:path'
import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import type { Test } from 'tap'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { objectOf, parseObject, textAt } from '../support/json.js'
import { startMcp, type McpService, type RawClient } from '../support/mcp-harness.js'
import { root } from '../support/root.js'

export const plainServer = join(root, 'test/hosted/plain-server.js')

/** Hosts the server without an SDK. @param flags what it does wrong from the start */
export async function hostPlain (
  t: Test,
  options: Partial<StdioServerOptions> = {},
  flags: readonly string[] = [],
  overrides: Partial<McpTransportsOptions> = {}
): Promise<McpService> {
  const createServer = stdioServer({
    command: process.execPath,
    args: [plainServer, ...flags],
    ...options,
    limits: { graceSeconds: 0.5, ...options.limits }
  })
  return await startMcp(t, { createServer, ...overrides })
}

/** The one JSON-RPC message that responds to a request. */
export async function readResponse (response: Response): Promise<Record<string, unknown>> {
  const body = await response.text()
  const lines = body.startsWith('{') ? [`data: ${body}`] : body.split('\n')
  const events = lines.filter(line => line.startsWith('data: {')).map(line => line.slice('data: '.length))
  const found = events.map(event => parseObject(event)).findLast(message => !('method' in message))
  if (found === undefined) throw new Error(`no response in ${JSON.stringify(body)}`)
  return found
}

/** Calls a tool. @returns what it says, or the error */
export async function callTool (client: RawClient, name: string, args: Record<string, unknown> = {}, meta = {}) {
  const response = await readResponse(
    await client.request('tools/call', { name, arguments: args, _meta: meta })
  )
  if ('error' in response) return { error: objectOf(response.error) }
  return { text: textAt(response.result, 'content', 0, 'text') }
}

interface ModernCall {
  tool: string
  args?: Record<string, unknown>
  person: string
  capabilities?: object
  /** More of its parameters. */
  more?: Record<string, unknown>
}

/** Calls a tool by revision 2026-07-28. @returns the JSON-RPC response */
export async function callModern (
  { url }: McpService,
  { tool, args = {}, person, capabilities = {}, more = {} }: ModernCall
): Promise<Record<string, unknown>> {
  const { headers, ...request } = modernRequest(1, 'tools/call', { name: tool, arguments: args, ...more }, {
    [CLIENT_INFO_META_KEY]: { name: 'raw', version: '1' }, [CLIENT_CAPABILITIES_META_KEY]: capabilities
  })
  const response = await fetch(`${url}/mcp`, { ...request, headers: { ...headers, authorization: `Bearer ${person}` } })
  return await readResponse(response)
}

/** What a tool says, as JSON. */
export async function callForJson (client: RawClient, name: string, args: Record<string, unknown> = {}) {
  const { text, error } = await callTool(client, name, args)
  if (text === undefined) throw new Error(JSON.stringify(error))
  return parseObject(text)
}

/** Whether a process lives; a zombie does not. */
export function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Resolves once something holds. */
export async function until (holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!await holds()) await new Promise(resolve => setTimeout(resolve, 20))
}
