import { setTimeout as delay } from 'node:timers/promises'
import { completable as completable1 } from '@modelcontextprotocol/sdk/server/completable.js'
import { McpServer as McpServer1, ResourceTemplate as ResourceTemplate1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator1 } from '@modelcontextprotocol/sdk/validation/ajv'
import {
  completable as completable2,
  inputRequired,
  inputResponse,
  McpServer as McpServer2,
  ResourceTemplate as ResourceTemplate2
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator2 } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'

/*
 * One server, written with either SDK. Every call ends by itself.
 */

const capabilities = {
  logging: {},
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true }
}
const operands = z.object({ l: z.number(), r: z.number() })
const nothing = z.object({})
const stepsInput = z.object({ steps: z.number().int().min(0).max(10) })
const sizeInput = z.object({ size: z.number().int().min(0).max(100_000) })
const waitInput = z.object({ ms: z.number().int().min(0).max(100) })
const colour = {
  message: 'Which colour?',
  requestedSchema: {
    type: 'object' as const,
    properties: { colour: { type: 'string' as const } },
    required: ['colour']
  }
}
const ASK_MS = 1000

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
const contents = ({ href: uri }: URL) => ({ contents: [{ uri, text: 'text' }] })
const greeting = ({ name }: { name: string }) => ({
  messages: [{ role: 'user' as const, content: { type: 'text' as const, text: name } }]
})
const fails = () => {
  throw new Error('This tool always fails.')
}
const validator1 = new AjvJsonSchemaValidator1()
const validator2 = new AjvJsonSchemaValidator2()

const server1: CreateServer = () => {
  const server = new McpServer1({ name: 'fuzzed', version: '1' }, { jsonSchemaValidator: validator1, capabilities })
  requireScopes(server, { guarded: ['more'] })
  server.registerTool('add', { inputSchema: operands }, ({ l, r }) => text(String(l + r)))
  server.registerTool('fails', {}, fails)
  server.registerTool('guarded', {}, () => text('let in'))
  server.registerTool('big', { inputSchema: sizeInput }, ({ size }) => text('x'.repeat(size)))
  server.registerTool('waits', { inputSchema: waitInput }, async ({ ms }) => {
    await delay(ms)
    return text('waited')
  })
  server.registerTool('ask', { inputSchema: nothing }, async (_input, { requestId: relatedRequestId }) =>
    text(JSON.stringify(await server.server.elicitInput(colour, { relatedRequestId, timeout: ASK_MS })))
  )
  server.registerTool('progress', { inputSchema: stepsInput }, async ({ steps }, { _meta, sendNotification }) => {
    for (let progress = 1; _meta?.progressToken !== undefined && progress <= steps; progress++) {
      await sendNotification({
        method: 'notifications/progress',
        params: { progressToken: _meta.progressToken, progress }
      })
    }
    return text('done')
  })
  server.registerTool('log', {}, async ({ sessionId }) => {
    await server.sendLoggingMessage({ level: 'info', data: 'logged' }, sessionId)
    return text('logged')
  })
  server.registerTool('announce', {}, async () => {
    server.sendToolListChanged()
    await server.server.sendResourceUpdated({ uri: 'about://server' })
    return text('announced')
  })
  server.registerResource('about', 'about://server', {}, contents)
  server.registerResource('item', new ResourceTemplate1('item://{id}', { list: undefined }), {}, contents)
  server.registerPrompt('greet', { argsSchema: { name: completable1(z.string(), () => ['x']) } }, greeting)
  server.server.setRequestHandler(SubscribeRequestSchema, () => ({}))
  server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
  return server
}

const server2: CreateServer = () => {
  const server = new McpServer2({ name: 'fuzzed', version: '2' }, { jsonSchemaValidator: validator2, capabilities })
  requireScopes(server, { guarded: ['more'] })
  server.registerTool('add', { inputSchema: operands }, ({ l, r }) => text(String(l + r)))
  server.registerTool('fails', {}, fails)
  server.registerTool('guarded', {}, () => text('let in'))
  server.registerTool('big', { inputSchema: sizeInput }, ({ size }) => text('x'.repeat(size)))
  server.registerTool('waits', { inputSchema: waitInput }, async ({ ms }) => {
    await delay(ms)
    return text('waited')
  })
  server.registerTool('ask', { inputSchema: nothing }, (_input, { mcpReq: { inputResponses } }) => {
    const answer = inputResponse(inputResponses, 'colour')
    return answer.kind === 'elicit'
      ? text(JSON.stringify(answer))
      : inputRequired({ inputRequests: { colour: inputRequired.elicit(colour) } })
  })
  server.registerTool('progress', { inputSchema: stepsInput }, async ({ steps }, { mcpReq: { _meta, notify } }) => {
    for (let progress = 1; _meta?.progressToken !== undefined && progress <= steps; progress++) {
      await notify({ method: 'notifications/progress', params: { progressToken: _meta.progressToken, progress } })
    }
    return text('done')
  })
  server.registerTool('log', {}, async ({ mcpReq }) => {
    await mcpReq.log('info', 'logged')
    return text('logged')
  })
  server.registerTool('announce', {}, async () => {
    server.sendToolListChanged()
    await server.server.sendResourceUpdated({ uri: 'about://server' })
    return text('announced')
  })
  server.registerResource('about', 'about://server', {}, contents)
  server.registerResource('item', new ResourceTemplate2('item://{id}', { list: undefined }), {}, contents)
  server.registerPrompt('greet', { argsSchema: z.object({ name: completable2(z.string(), () => ['x']) }) }, greeting)
  server.server.setRequestHandler('resources/subscribe', () => ({}))
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
  return server
}

/** The hosted servers, by the line of their SDK. */
export const hostedServers = { 'SDK 1.x': server1, 'SDK 2.x': server2 } as const
