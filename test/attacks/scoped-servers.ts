import { completable as completable1 } from '@modelcontextprotocol/sdk/server/completable.js'
import { McpServer as McpServer1, ResourceTemplate as ResourceTemplate1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import {
  completable,
  McpServer as McpServer2,
  requireScopes as requireScopes2,
  ResourceTemplate as ResourceTemplate2,
  type ScopeChallengeHandler
} from '@modelcontextprotocol/server'
import * as z from 'zod'
import type { PluggedServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
const capabilities = { resources: { subscribe: true, listChanged: true }, completions: {}, prompts: {}, tools: {} }
const contents = (uri: string) => ({ contents: [{ uri, text: uri }] })

/**
 * Makes a server that has a tool, a resource, a template and a prompt which need the scope `admin`, and the same open
 * to all.
 */
export type MakeScoped = (ran: (what: string) => void) => PluggedServer

function server1 (ran: (what: string) => void): McpServer1 {
  const server = new McpServer1({ name: 'scoped', version: '1' }, { capabilities })
  server.registerTool('open', {}, () => {
    ran('open')
    return text('open')
  })
  server.registerTool('guarded', {}, () => {
    ran('guarded')
    return text('guarded')
  })
  server.registerResource('guarded', 'guarded://one', {}, ({ href }) => {
    ran('resource')
    return contents(href)
  })
  server.registerResource(
    'template',
    new ResourceTemplate1('secret://{id}', {
      list: undefined,
      complete: {
        id: () => {
          ran('completion')
          return ['one']
        }
      }
    }),
    {},
    ({ href }) => {
      ran('template')
      return contents(href)
    }
  )
  server.registerPrompt('guarded', {
    argsSchema: {
      name: completable1(z.string().optional(), () => {
        ran('completion')
        return ['one']
      })
    }
  }, () => {
    ran('prompt')
    return { messages: [] }
  })
  server.server.setRequestHandler(SubscribeRequestSchema, () => {
    ran('subscription')
    return {}
  })
  server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
  return server
}

function server2 (ran: (what: string) => void, scopeChallenge?: ScopeChallengeHandler): McpServer2 {
  const scoped = scopeChallenge && { scopeChallenge }
  const server = new McpServer2({ name: 'scoped', version: '2' }, { capabilities })
  server.registerTool('open', {}, () => {
    ran('open')
    return text('open')
  })
  server.registerTool('guarded', { ...scoped }, () => {
    ran('guarded')
    return text('guarded')
  })
  server.registerResource('guarded', 'guarded://one', { ...scoped }, ({ href }) => {
    ran('resource')
    return contents(href)
  })
  server.registerResource(
    'template',
    new ResourceTemplate2('secret://{id}', {
      list: undefined,
      complete: {
        id: () => {
          ran('completion')
          return ['one']
        }
      }
    }),
    { ...scoped },
    ({ href }) => {
      ran('template')
      return contents(href)
    }
  )
  server.registerPrompt('guarded', {
    ...scoped,
    argsSchema: z.object({
      name: completable(z.string().optional(), () => {
        ran('completion')
        return ['one']
      })
    })
  }, () => {
    ran('prompt')
    return { messages: [] }
  })
  server.server.setRequestHandler('resources/subscribe', () => {
    ran('subscription')
    return {}
  })
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
  return server
}

const declared = {
  tools: { guarded: ['admin'] },
  resources: { 'guarded://one': ['admin'], 'secret://{id}': ['admin'] },
  prompts: { guarded: ['admin'] }
}

function withOurs (server: PluggedServer): PluggedServer {
  requireScopes(server, declared)
  return server
}

const admin = requireScopes2('admin')

/** Every way to declare scopes. */
export const SCOPED: Readonly<Record<string, MakeScoped>> = {
  'SDK 1.x, requireScopes': ran => withOurs(server1(ran)),
  'SDK 2.x, requireScopes': ran => withOurs(server2(ran)),
  'SDK 2.x, scopeChallenge': ran => server2(ran, admin),
  'SDK 2.x, scopeChallenge that takes time': ran => server2(ran, async context => {
    await new Promise(resolve => setImmediate(resolve))
    return await admin(context)
  })
}
