import Fastify from 'fastify'
import type { Test } from 'tap'
import type { CallerInfo } from '../../src/caller.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { InvalidTokenError } from '../../src/errors.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { HostAuthModeOptions } from '../../src/service/plugin-options.js'
import type { Stores } from '../../src/stores/stores.js'
import { freePort } from '../support/free-port.js'
import { FeatureServer } from '../mcp/feature-server.js'

/*
 * Two servers of one process, and of its replicas, that are alike. Tokens are the name of a person and that of the
 * server that they are for: `alice.notes`.
 */
const ISSUER = 'https://login.example'

export type Name = 'notes' | 'files'

/** One replica. */
export interface Place {
  at (name: Name): { url: string }
  features: Readonly<Record<Name, FeatureServer>>
}

export const tokenOf = (person: string, name: Name) => `${person}.${name}`

function callerOf (token: string, publicUrl: string): CallerInfo {
  const [subject = '', name] = token.split('.')
  if (name === undefined) throw new InvalidTokenError('The access token is unknown.')
  return {
    token,
    clientId: 'client',
    scopes: ['mcp'],
    resource: new URL(`${publicUrl}/${name}/mcp`),
    extra: { issuer: ISSUER, subject }
  }
}

/** Starts a replica over some stores; it ends with the test. */
export async function startTwo (
  t: Test,
  stores: Stores,
  { keepsSessions = false, ...options }: Pick<
    HostAuthModeOptions,
    'encryptionKeys' | 'limits' | 'policy' | 'sessionMode'
  > & { keepsSessions?: boolean } = {}
): Promise<Place> {
  const port = await freePort()
  const publicUrl = `http://127.0.0.1:${port}`
  const features = { notes: new FeatureServer(stores), files: new FeatureServer(stores) }
  const serve = (name: Name) => ({
    createServer: Object.assign<CreateServer, Partial<CreateServer>>(
      context => features[name].createServer(context),
      { keepsSessions }
    )
  })
  const app = Fastify({ forceCloseConnections: true, trustProxy: true })
  await app.register(mcpService, {
    publicUrl,
    servers: { notes: serve('notes'), files: serve('files') },
    stores,
    auth: {
      mode: 'host',
      authorizationServers: [ISSUER],
      verifyAccessToken: token => callerOf(token, publicUrl)
    },
    ...options
  })
  await app.listen({ port, host: '127.0.0.1' })
  t.teardown(() => app.close())
  return { features, at: name => ({ url: `${publicUrl}/${name}` }) }
}
