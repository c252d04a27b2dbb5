import { EventEmitter, once } from 'node:events'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { ServerNotification, ServerRequest } from '@modelcontextprotocol/sdk/types.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'

const jsonSchemaValidator = new AjvJsonSchemaValidator()
const named = { name: z.string() }

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** A call of the tool `wait` that the test has in its hands. */
export interface WaitingCall {
  name: string
  extra: Extra
  /** Ends the call. */
  finish (text: string): void
}

/**
 * A server whose calls run as long as the test wants. Emits `call` with a `WaitingCall`, `server` with each instance
 * made, `closed` with each that has ended.
 */
export class ControlledServer extends EventEmitter {
  readonly servers: McpServer[] = []
  readonly calls: WaitingCall[] = []

  readonly createServer: CreateServer = () => {
    const server = new McpServer({ name: 'controlled', version: '1.0.0' }, {
      jsonSchemaValidator, capabilities: { logging: {}, tools: { listChanged: true }, resources: { subscribe: true } }
    })
    server.registerTool('wait', { inputSchema: named }, async ({ name }, extra) => {
      const text = await new Promise<string>(resolve => {
        const call = { name, extra, finish: resolve }
        this.calls.push(call)
        this.emit('call', call)
      })
      return { content: [{ type: 'text', text }] }
    })
    server.server.onclose = () => { this.emit('closed', server) }
    this.servers.push(server)
    this.emit('server', server)
    return server
  }

  /** The newest instance. */
  get server (): McpServer {
    const server = this.servers.at(-1)
    if (server === undefined) throw new Error('no server was made')
    return server
  }

  /** The call of `wait` with this name, now or when it comes. */
  async call (name: string): Promise<WaitingCall> {
    for (;;) {
      const call = this.calls.find(call => call.name === name)
      if (call !== undefined) return call
      await once(this, 'call')
    }
  }
}

/** A log message that belongs to the call. */
export async function say (call: WaitingCall, data: string): Promise<void> {
  await call.extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } })
}
