import { setTimeout as delay } from 'node:timers/promises'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import { z } from 'zod'
import { runProcess } from '../../src/process/run.js'

/*
 * The service as a process of its own, as `npm start` runs it, with a server that misbehaves; of the SDK that
 * FIXTURE_SDK names.
 */
const text = (said: string) => ({ content: [{ type: 'text' as const, text: said }] })

/** Lets go of a promise that is rejected. */
function lose (): void {
  queueMicrotask(() => { void Promise.reject(new Error('let go of by the hosted server')) })
}

/** Throws where nobody can catch it. */
function explode (): void {
  setTimeout(() => { throw new Error('thrown by the hosted server') }, 0)
}

const PROGRESS = { method: 'notifications/progress', params: { progressToken: 'p', progress: 1 } } as const

async function outlast (): Promise<ReturnType<typeof text>> {
  process.stderr.write('outlast began\n')
  return await delay(600_000, text('late'))
}

function createServer (): McpServer1 | McpServer2 {
  const server = process.env.FIXTURE_SDK === '2'
    ? new McpServer2({ name: 'fixture', version: '1.0.0' })
    : new McpServer1({ name: 'fixture', version: '1.0.0' })
  const tools: Record<string, () => Promise<ReturnType<typeof text>>> = {
    echo: async () => text('here'),
    lose: async () => { lose(); return text('lost') },
    explode: async () => { explode(); return text('lit') },
    outlast
  }
  for (const [name, run] of Object.entries(tools)) {
    if (server instanceof McpServer2) server.registerTool(name, { inputSchema: z.object({}) }, run)
    else server.registerTool(name, { inputSchema: {} }, run)
  }
  // the same, once the client has heard of it: its response is a stream by then
  if (server instanceof McpServer2) {
    server.registerTool('outlast-aloud', { inputSchema: z.object({}) }, async (_input, { mcpReq }) => {
      await mcpReq.notify(PROGRESS)
      return await outlast()
    })
  } else {
    server.registerTool('outlast-aloud', { inputSchema: {} }, async (_input, { sendNotification }) => {
      await sendNotification(PROGRESS)
      return await outlast()
    })
  }
  return server
}

runProcess({ createServer })
