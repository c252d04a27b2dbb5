import { Client as Client2, type VersionNegotiationOptions } from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import type { UsingClient } from './uses.js'

const clientInfo = { name: 'user', version: '1.0.0' }
const capabilities = { roots: { listChanged: true } }
// on the client's machine; a server that takes it for its own would open all that there is
const roots = { roots: [{ uri: 'file:///' }] }

/** A client of SDK 1.x that says it has roots. */
export function makeClient1 (): Client {
  const client = new Client(clientInfo, { capabilities })
  client.setRequestHandler(ListRootsRequestSchema, () => roots)
  return client
}

/** A client of SDK 2.x that says it has roots. */
export function makeClient2 (mode: NonNullable<VersionNegotiationOptions['mode']>): Client2 {
  const client = new Client2(clientInfo, { capabilities, versionNegotiation: { mode } })
  client.setRequestHandler('roots/list', () => roots)
  return client
}

export function using1 (client: Client): UsingClient {
  return {
    async call (name, args = {}, onprogress) {
      const options = onprogress === undefined ? {} : { onprogress }
      return JSON.stringify((await client.callTool({ name, arguments: args }, undefined, options)).content)
    },
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri)
  }
}

export function using2 (client: Client2): UsingClient {
  return {
    async call (name, args = {}, onprogress) {
      const options = onprogress === undefined ? {} : { onprogress }
      return JSON.stringify((await client.callTool({ name, arguments: args }, options)).content)
    },
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri)
  }
}
