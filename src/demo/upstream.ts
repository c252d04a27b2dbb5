import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Configuration } from 'oidc-provider'
import { ConfigError } from '../errors.js'
import { LOOPBACK_ADDRESS, localUrl } from '../loopback.js'
import { listenError } from '../listen-error.js'

/** A running demo authorization server. */
export interface DemoUpstream {
  /** Its issuer URL, discoverable by RFC 8414 and OIDC. */
  issuer: string
  /** Ends every connection and stops listening. */
  close (): Promise<void>
}

export interface DemoUpstreamOptions {
  /** 0 for any free port. */
  port: number
  /** Laid over the demo's own settings; for tests that need an upstream of another kind. */
  configuration?: Configuration
}

/**
 * Starts an authorization server for trying things out: npm `oidc-provider` with its development pages, where any
 * name and any password log in, with open dynamic client registration. In memory, on loopback only.
 * `oidc-provider` is a development dependency, hence the late import.
 * @throws {ConfigError} where `oidc-provider` is not installed; and where the port is taken
 */
export async function startDemoUpstream ({ port, configuration = {} }: DemoUpstreamOptions): Promise<DemoUpstream> {
  const { Provider } = await import('oidc-provider').catch((cause: unknown) => {
    throw new ConfigError(
      'No upstream is configured: set OAUTH_ISSUER_URL. (The demo upstream needs the package oidc-provider.)',
      { cause }
    )
  })
  const server = createServer()
  server.listen(port, LOOPBACK_ADDRESS)
  await once(server, 'listening').catch((cause: unknown) => {
    throw listenError('The demo upstream', `DEMO_UPSTREAM_PORT=${port}`, cause)
  })
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('The demo upstream did not get a port.')
  const issuer = localUrl(address.port)

  const provider = new Provider(issuer, {
    clients: [],
    jwks: { keys: [await signingKey()] },
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    cookies: { keys: [crypto.randomUUID()] },
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      registrationManagement: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true }
    },
    findAccount: (_context, subject) => ({
      accountId: subject,
      claims: () => ({ sub: subject, name: subject, email: `${subject}@example.com`, email_verified: true })
    }),
    // a broker keeps people logged in, so it gets a refresh token whatever the prompt
    issueRefreshToken: async (_context, client) => client.grantTypeAllowed('refresh_token'),
    ttl: {
      AccessToken: 600,
      AuthorizationCode: 60,
      IdToken: 600,
      Interaction: 600,
      Session: 86_400,
      Grant: 86_400,
      RefreshToken: 86_400
    },
    ...configuration
  })
  const serve = provider.callback()
  server.on('request', (request, response) => {
    serve(request, response).catch((error: unknown) => { response.destroy(error instanceof Error ? error : undefined) })
  })

  return {
    issuer,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

let key: Promise<JWK> | undefined

/** One for the process: to make it takes a quarter of a second. */
async function signingKey (): Promise<JWK> {
  key ??= generateKeyPair('RS256', { extractable: true }).then(({ privateKey }) => exportJWK(privateKey))
  return { ...await key, use: 'sig', alg: 'RS256', kid: 'demo' }
}
