import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'

const jsonSchemaValidator = new AjvJsonSchemaValidator()
const workInput = z.object({ call: z.string(), ms: z.number(), steps: z.number() })
const confirmInput = z.object({ call: z.string() })
const sayInput = z.object({ data: z.string() })
const nothing = z.object({})
const INITIALIZED_WITHIN_MS = 1000

/**
 * A server whose tool `work` leaves a mark each time it runs: a line with the call's id in `file`, which outlives
 * processes and Redis. It takes `ms`, in as many `steps`, and reports its progress after each. `confirm`
 * asks before it leaves its mark. `say` logs something that belongs to no call. `initialized` says whether the instance
 * knows that its client is.
 */
export function countingServer (file: string): CreateServer {
  return ({ getUpstreamAccessToken }) => {
    const server = new McpServer({ name: 'counting', version: '1.0.0' }, {
      jsonSchemaValidator,
      capabilities: { logging: {} }
    })
    let isInitialized = false
    const initialized = new Promise<void>(resolve => {
      server.server.oninitialized = () => {
        isInitialized = true
        resolve()
      }
    })
    server.registerTool(
      'work',
      { inputSchema: workInput },
      async ({ call, ms, steps }, { sendNotification, _meta, signal }) => {
        appendFileSync(file, `${call}\n`)
        for (let step = 1; step <= steps; step++) {
          await delay(ms / (steps + 1), undefined, { signal })
          await sendNotification({
            method: 'notifications/progress',
            params: { progressToken: _meta?.progressToken ?? '', progress: step, total: steps }
          })
        }
        if (ms > 0) await delay(ms / (steps + 1), undefined, { signal })
        return { content: [{ type: 'text', text: call }] }
      }
    )
    server.registerTool(
      'confirm',
      { inputSchema: confirmInput },
      async ({ call }, { requestId: relatedRequestId }) => {
        const requestedSchema = { type: 'object' as const, properties: {} }
        await server.server.elicitInput({ message: call, requestedSchema }, { relatedRequestId, timeout: 120_000 })
        appendFileSync(file, `${call}\n`)
        return { content: [{ type: 'text', text: call }] }
      }
    )
    server.registerTool('initialized', { inputSchema: nothing }, async () => {
      // what changes elsewhere arrives a moment later
      if (!isInitialized) await Promise.race([initialized, delay(INITIALIZED_WITHIN_MS)])
      return { content: [{ type: 'text', text: isInitialized ? 'yes' : 'no' }] }
    })
    server.registerTool('say', { inputSchema: sayInput }, async ({ data }) => {
      await server.sendLoggingMessage({ level: 'info', data })
      return { content: [] }
    })
    server.registerTool(
      'upstream_token',
      { inputSchema: nothing },
      async () => ({ content: [{ type: 'text', text: await getUpstreamAccessToken() ?? 'none' }] })
    )
    return server
  }
}

/** How often each call has run. */
export function countRuns (file: string): Map<string, number> {
  const runs = new Map<string, number>()
  if (!existsSync(file)) return runs
  for (const call of readFileSync(file, 'utf8').split('\n')) if (call !== '') runs.set(call, (runs.get(call) ?? 0) + 1)
  return runs
}
