import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JWK } from 'jose'
import type { Configuration } from 'oidc-provider'
import { ConfigError } from '../errors.js'
import { LOOPBACK_ADDRESS, localUrl } from '../loopback.js'
import { listenError } from '../listen-error.js'
import { getMember } from '../members.js'
import { makeSigningKey, openDemoState, type DemoState } from './state.js'

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
  /** Where it keeps its state across restarts; absent: in memory. */
  file?: string | undefined
  /** Laid over the demo's own settings; for tests that need an upstream of another kind. */
  configuration?: Configuration
}

/**
 * Starts an authorization server for trying things out: npm `oidc-provider` with its development pages, where any
 * name and any password log in, with open dynamic client registration. On loopback only.
 * `oidc-provider` is an optional dependency, and nothing that production loads, hence the late import.
 * @throws {ConfigError} if `oidc-provider` is not installed, the file cannot be used, or the port is taken
 */
export async function startDemoUpstream (
  { port, file, configuration = {} }: DemoUpstreamOptions
): Promise<DemoUpstream> {
  const { Provider } = await import('oidc-provider').catch(cannotLoad)
  const state = file === undefined ? undefined : await openDemoState(file)
  const close = async (server?: Server) => {
    const closed = server && once(server, 'close')
    server?.close()
    server?.closeAllConnections()
    await closed
    state?.close()
  }
  const { server, address } = await listen(port).catch(async (error: unknown) => {
    await close()
    throw error
  })
  try {
    const issuer = localUrl(address.port)
    const provider = new Provider(issuer, { ...await toConfiguration(state), ...configuration })
    const serve = provider.callback()
    server.on('request', (request, response) => {
      serve(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : undefined)
      })
    })
    return { issuer, close: () => close(server) }
  } catch (error) {
    await close(server)
    throw error
  }
}

/** The demo's own settings. */
async function toConfiguration (state: DemoState | undefined): Promise<Configuration> {
  return {
    clients: [],
    jwks: { keys: [state?.signingKey ?? await sharedSigningKey()] },
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    cookies: { keys: [state?.cookieKey ?? crypto.randomUUID()] },
    ...state && { adapter: state.adapter },
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
    }
  }
}

/** @throws {ConfigError} always */
function cannotLoad (cause: unknown): never {
  throw new ConfigError(
    `The demo login needs the package oidc-provider, which cannot be loaded (${String(getMember(cause, 'code'))}); ` +
      'npm leaves it out with --omit=optional. Install it, or name a login server: OAUTH_PROVIDER or OAUTH_ISSUER_URL.',
    { cause }
  )
}

async function listen (port: number): Promise<{ server: Server, address: AddressInfo }> {
  const server = createServer()
  server.listen(port, LOOPBACK_ADDRESS)
  await once(server, 'listening').catch((cause: unknown) => {
    throw listenError('The demo upstream', `DEMO_UPSTREAM_PORT=${port}`, cause)
  })
  const address: AddressInfo | string | null = server.address()
  if (address === null || typeof address === 'string') throw new Error('The demo upstream did not get a port.')
  return { server, address }
}

let key: Promise<JWK> | undefined

/** One for all that this process starts in memory. */
async function sharedSigningKey (): Promise<JWK> {
  key ??= makeSigningKey()
  return await key
}
