import { exportJWK, generateKeyPair, type JWK } from 'jose'
import type { ClientMetadata, Configuration } from 'oidc-provider'
import { startDemoUpstream } from '../../../src/demo/upstream.js'
import { installedVersion } from '../../support/installed-version.js'
import { AskedRequests, type BackChannel, type LoginServer, type RunningLoginServer } from './login-server.js'
import type { Recipe } from './recipe.js'

/** A configuration of the npm package `oidc-provider`. */
interface Kind {
  name: string
  recipe: Recipe
  /** Of its ID tokens. */
  algorithm?: 'RS256' | 'PS256' | 'ES256' | 'EdDSA'
  /** Our client there; absent: we register. */
  client?: Partial<ClientMetadata>
  refreshes?: boolean
  configuration?: Configuration
}

const CALLBACK = 'https://mcp.example.com/oauth/callback'
const LIFETIME_SECONDS = 600
const PAGE = 'oidc-provider.md'
const features = {
  devInteractions: { enabled: true },
  registration: { enabled: false },
  revocation: { enabled: true }
}
const PATHS: Record<string, BackChannel> = {
  '/.well-known/openid-configuration': 'discovery',
  '/.well-known/oauth-authorization-server': 'discovery',
  '/reg': 'register',
  '/request': 'par',
  '/token': 'token',
  '/me': 'userinfo',
  '/token/revocation': 'revoke'
}

const kinds: readonly Kind[] = [
  {
    name: 'open registration, opaque tokens that rotate',
    recipe: { page: PAGE },
    configuration: { rotateRefreshToken: true }
  },
  {
    name: 'client_secret_post, ES256, no rotation, no userinfo',
    recipe: { page: PAGE, blocks: [0, 1] },
    algorithm: 'ES256',
    client: { token_endpoint_auth_method: 'client_secret_post' },
    configuration: {
      rotateRefreshToken: false,
      features: { ...features, userinfo: { enabled: false } }
    }
  },
  {
    name: 'private_key_jwt, PS256, pushed requests required',
    recipe: { page: PAGE, blocks: [0, 2] },
    algorithm: 'PS256',
    client: { token_endpoint_auth_method: 'private_key_jwt' },
    configuration: {
      features: {
        ...features,
        pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true }
      }
    }
  },
  {
    name: 'client_secret_basic, EdDSA, JWT access tokens for a resource',
    recipe: { page: PAGE, blocks: [0, 1, 3] },
    algorithm: 'EdDSA',
    client: { token_endpoint_auth_method: 'client_secret_basic' },
    configuration: {
      enabledJWA: { idTokenSigningAlgValues: ['EdDSA', 'RS256'] },
      features: {
        ...features,
        resourceIndicators: {
          enabled: true,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({ scope: 'read', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'EdDSA' } } })
        }
      }
    }
  },
  {
    name: 'client_secret_basic, signed userinfo, registration with an initial access token',
    recipe: { page: PAGE, blocks: [0, 1] },
    client: { token_endpoint_auth_method: 'client_secret_basic', userinfo_signed_response_alg: 'RS256' },
    configuration: {
      features: {
        ...features,
        jwtUserinfo: { enabled: true },
        registration: { enabled: true, initialAccessToken: 'closed' }
      }
    }
  },
  {
    name: 'a public client, no refresh tokens',
    recipe: { page: PAGE, blocks: [0, 4] },
    client: { token_endpoint_auth_method: 'none' },
    refreshes: false,
    configuration: { features, issueRefreshToken: async () => false }
  }
]

/** The package in each of its configurations, on a port of loopback. */
export const oidcProviders: readonly LoginServer[] = kinds.map(kind => ({
  name: `oidc-provider: ${kind.name}`,
  run: installedVersion('oidc-provider'),
  recipe: kind.recipe,
  subject: 'alice',
  refreshes: kind.refreshes ?? true,
  revokes: true,
  forges: false,
  needsUserinfo: false,
  hasSecret: kind.client?.token_endpoint_auth_method?.startsWith('client_secret') === true,
  start: async t => {
    const key = await makeKey(kind.algorithm ?? 'RS256')
    const gone = new Set<string>()
    const upstream = await startDemoUpstream({ port: 0, configuration: configure(kind, key, gone) })
    t.teardown(() => upstream.close())
    return runOf(upstream.issuer, key, gone)
  }
}))

function configure ({ client, algorithm = 'RS256', configuration }: Kind, key: JWK, gone: Set<string>): Configuration {
  const { kty = '', d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...rest } = key
  return {
    jwks: { keys: [{ ...key, kty }] },
    ...client !== undefined && {
      clients: [{
        client_id: 'us',
        ...client.token_endpoint_auth_method?.startsWith('client_secret') === true && { client_secret: 'shh' },
        ...client.token_endpoint_auth_method === 'private_key_jwt' && {
          jwks: { keys: [{ ...rest, kty }] },
          token_endpoint_auth_signing_alg: algorithm
        },
        redirect_uris: [CALLBACK],
        grant_types: ['authorization_code', 'refresh_token'],
        id_token_signed_response_alg: algorithm,
        ...client
      }]
    },
    findAccount: (_context, accountId) =>
      gone.has(accountId)
        ? undefined
        : {
            accountId,
            claims: () => ({ sub: accountId, name: 'Alice Liddell', email: 'alice@example.com', email_verified: true })
          },
    ...configuration
  }
}

function runOf (issuer: string, key: JWK, gone: Set<string>): RunningLoginServer {
  const [asked, down] = [new AskedRequests(), new Set<BackChannel>()]
  let isCancelled = false
  return {
    asked,
    down,
    lifetimeSeconds: LIFETIME_SECONDS,
    values: {
      'https://login.example.com': issuer,
      OAUTH_CLIENT_ID: 'us',
      OAUTH_CLIENT_SECRET: 'shh',
      OAUTH_CLIENT_KEY: JSON.stringify(key)
    },
    fetch: async (input, init) => {
      const url = new URL(String(input))
      const channel = PATHS[url.pathname]
      if (channel !== undefined && down.has(channel)) {
        throw new TypeError('fetch failed', { cause: new Error(`${issuer} is down`) })
      }
      // the link "Cancel" of its page
      const isPage = /^\/interaction\/[^/]+$/.test(url.pathname) && (init?.method ?? 'GET') === 'GET'
      if (isCancelled && isPage) url.pathname += '/abort'
      const response = await fetch(url, init)
      if (channel !== undefined) asked.add(channel, response.status)
      return response
    },
    register: () => {},
    cancelLogins: () => { isCancelled = true },
    endLogins: () => { gone.add('alice') },
    forge: () => {},
    restore: () => {
      asked.clear()
      down.clear()
      gone.clear()
      isCancelled = false
    }
  }
}

const keys = new Map<string, Promise<JWK>>()

/** One of each kind for the process: some take a quarter of a second. */
async function makeKey (algorithm: string): Promise<JWK> {
  const key = keys.get(algorithm) ??
    generateKeyPair(algorithm, { extractable: true }).then(({ privateKey }) => exportJWK(privateKey))
  keys.set(algorithm, key)
  return { ...await key, use: 'sig', alg: algorithm, kid: 'demo' }
}
