import { completable as completable1 } from '@modelcontextprotocol/sdk/server/completable.js'
import { McpServer as McpServer1, ResourceTemplate as ResourceTemplate1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import {
  completable,
  McpServer as McpServer2,
  ResourceTemplate as ResourceTemplate2
} from '@modelcontextprotocol/server'
import type { Test } from 'tap'
import * as z from 'zod'
import type { PluggedServer } from '../../src/mcp/create-server.js'
import type { Policy } from '../../src/policy/policy.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { host, type Way } from '../attacks/eras.js'

/*
 * Servers of both SDKs that have three of each thing: one for each of three roles.
 */
export const NAMES = ['open', 'staff', 'secret'] as const

/** The same of each line: what has run is told. */
export type MakePlug = (ran: (what: string) => void) => PluggedServer

const capabilities = {
  resources: { subscribe: true, listChanged: true },
  completions: {},
  prompts: { listChanged: true },
  tools: { listChanged: true }
}
const cacheHints = { 'tools/list': { ttlMs: 60_000, cacheScope: 'public' as const } }
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
const contents = (uri: string) => ({ contents: [{ uri, text: uri }] })

const makePlug1: MakePlug = ran => {
  const server = new McpServer1({ name: 'plug', version: '1' }, { capabilities })
  for (const name of NAMES) {
    server.registerTool(name, {}, () => {
      ran(`tool ${name}`)
      return text(name)
    })
    server.registerResource(name, `doc://${name}`, {}, ({ href }) => {
      ran(`resource ${name}`)
      return contents(href)
    })
    const complete = {
      id: () => {
        ran(`completion of template ${name}`)
        return ['one', 'hidden']
      }
    }
    server.registerResource(
      `${name} template`,
      new ResourceTemplate1(`${name}://{id}`, { list: undefined, complete }),
      {},
      ({ href }) => {
        ran(`template ${name}`)
        return contents(href)
      }
    )
    const argument = completable1(z.string().optional(), () => {
      ran(`completion of prompt ${name}`)
      return ['one']
    })
    server.registerPrompt(name, { argsSchema: { argument } }, () => {
      ran(`prompt ${name}`)
      return { messages: [] }
    })
  }
  server.server.setRequestHandler(SubscribeRequestSchema, ({ params: { uri } }) => {
    ran(`subscription ${uri}`)
    return {}
  })
  server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
  return server
}

const makePlug2: MakePlug = ran => {
  const server = new McpServer2({ name: 'plug', version: '2' }, { capabilities, cacheHints })
  for (const name of NAMES) {
    server.registerTool(name, {}, () => {
      ran(`tool ${name}`)
      return text(name)
    })
    server.registerResource(name, `doc://${name}`, {}, ({ href }) => {
      ran(`resource ${name}`)
      return contents(href)
    })
    const complete = {
      id: () => {
        ran(`completion of template ${name}`)
        return ['one', 'hidden']
      }
    }
    server.registerResource(
      `${name} template`,
      new ResourceTemplate2(`${name}://{id}`, { list: undefined, complete }),
      {},
      ({ href }) => {
        ran(`template ${name}`)
        return contents(href)
      }
    )
    const argument = completable(z.string().optional(), () => {
      ran(`completion of prompt ${name}`)
      return ['one']
    })
    server.registerPrompt(name, { argsSchema: z.object({ argument }) }, () => {
      ran(`prompt ${name}`)
      return { messages: [] }
    })
  }
  server.server.setRequestHandler('resources/subscribe', ({ params: { uri } }) => {
    ran(`subscription ${uri}`)
    return {}
  })
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
  return server
}

export const PLUGS: Readonly<Record<string, MakePlug>> = { 'SDK 1.x': makePlug1, 'SDK 2.x': makePlug2 }

/** A service of one way that hosts a plug under a policy, and what has run in it. */
export async function hostPlug (t: Test, way: Way, makePlug: MakePlug, policy: PolicyRules | Policy) {
  const ran: string[] = []
  const { sessionMode, reuseInstances = false } = way
  const service = await host(t, {
    createServer: () => makePlug(what => ran.push(what)),
    stores: createMemoryStores({ sessionIdleSeconds: 60 }),
    policy,
    sessionMode,
    reuseInstances
  })
  return { service, ran }
}
