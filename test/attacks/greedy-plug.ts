import { EventEmitter, once } from 'node:events'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator1 } from '@modelcontextprotocol/sdk/validation/ajv'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator2 } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'

const capabilities = { logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true } }
const validator1 = new AjvJsonSchemaValidator1()
const validator2 = new AjvJsonSchemaValidator2()
const floodInput = z.object({ messages: z.number(), bytes: z.number(), awaits: z.boolean() })
const bytesInput = z.object({ bytes: z.number() })
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
const question = {
  message: 'Which?',
  requestedSchema: { type: 'object' as const, properties: { colour: { type: 'string' as const } } }
}

type Send = (
  notification: { method: 'notifications/message', params: { level: 'error', data: string } }
) => Promise<void>

/** A server, of either SDK, whose calls run until the test lets them end. */
export class GreedyPlug extends EventEmitter {
  /** Calls of `wait` that run now. */
  running = 0
  /** Calls of any tool that have begun. */
  runs = 0
  /** Messages that `flood` has sent. */
  sent = 0
  #release: () => void = () => {}
  readonly #released = new Promise<void>(resolve => { this.#release = resolve })

  /** Lets `wait` return, now and from now on. */
  release (): void {
    this.#release()
  }

  /** Resolves once this many calls of `wait` run. */
  async areRunning (count: number): Promise<void> {
    while (this.running < count) await once(this, 'wait')
  }

  async #wait () {
    this.runs++
    this.running++
    this.emit('wait')
    await this.#released
    this.running--
    return text('waited')
  }

  #quick () {
    this.runs++
    return text('quick')
  }

  async #flood ({ messages, bytes, awaits }: z.infer<typeof floodInput>, send: Send) {
    const data = 'x'.repeat(bytes)
    for (let sent = 0; sent < messages; sent++) {
      const sending = send({ method: 'notifications/message', params: { level: 'error', data } }).catch(() => {})
      if (awaits) await sending
      this.sent++
      this.emit('sent')
    }
    this.emit('flooded')
    return text('flooded')
  }

  readonly createServer1: CreateServer = () => {
    const server = new McpServer1({ name: 'greedy', version: '1' }, { jsonSchemaValidator: validator1, capabilities })
    server.registerTool('wait', {}, () => this.#wait())
    server.registerTool('quick', {}, () => this.#quick())
    server.registerTool('other', {}, () => this.#quick())
    server.registerTool('large', { inputSchema: bytesInput }, ({ bytes }) => text('x'.repeat(bytes)))
    server.registerTool(
      'flood',
      { inputSchema: floodInput },
      (flood, { sendNotification }) => this.#flood(flood, sendNotification)
    )
    server.registerTool('ask', {}, async ({ requestId: relatedRequestId, signal, authInfo }) => {
      signal.addEventListener('abort', () => { this.emit('given-up', authInfo?.extra?.subject) })
      return text(JSON.stringify(await server.server.elicitInput(question, { relatedRequestId, timeout: 600_000 })))
    })
    server.server.setRequestHandler(SubscribeRequestSchema, () => ({}))
    server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
    return server
  }

  readonly createServer2: CreateServer = () => {
    const server = new McpServer2({ name: 'greedy', version: '1' }, { jsonSchemaValidator: validator2, capabilities })
    server.registerTool('wait', {}, () => this.#wait())
    server.registerTool('quick', {}, () => this.#quick())
    server.registerTool('other', {}, () => this.#quick())
    server.registerTool('large', { inputSchema: bytesInput }, ({ bytes }) => text('x'.repeat(bytes)))
    server.registerTool(
      'flood',
      { inputSchema: floodInput },
      (flood, { mcpReq: { notify } }) => this.#flood(flood, notify)
    )
    server.server.setRequestHandler('resources/subscribe', () => ({}))
    server.server.setRequestHandler('resources/unsubscribe', () => ({}))
    return server
  }
}
