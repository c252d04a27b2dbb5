import Fastify from 'fastify'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { HostAuthModeOptions, ResourceServerModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { fetchFrom, injectFetch } from '../../src/testing/inject-fetch.js'
import { bearer, newCode, redeem, register, parseTokens } from '../support/oauth-flow.js'
import { startTarget, type Target } from '../support/target.js'

/*
 * A token opens what it says, and no more: without the base scope, the first of all, it opens nothing here, whoever has
 * issued it, on whatever endpoint.
 */
type Tokens = (scope: string | undefined) => Promise<string>

const URL_OF_SERVICE = 'http://localhost:5050'
const ISSUER = 'https://login.test'
const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
const keys = [{ ...await exportJWK(publicKey), kid: 'key', alg: 'ES256' }]
const issuerFetch = fetchFrom(async request =>
  Response.json(
    new URL(request.url).pathname === '/jwks'
      ? { keys }
      : {
          issuer: ISSUER,
          jwks_uri: `${ISSUER}/jwks`,
          authorization_endpoint: `${ISSUER}/a`,
          token_endpoint: `${ISSUER}/token`
        }
  )
)

async function brokered (t: Test, mode: string): Promise<[Target, Tokens]> {
  const target = await startTarget(t, { MCP_SCOPES: 'mcp notes:read', SESSION_MODE: mode })
  const client = await register(target)
  return [
    target,
    async scope => parseTokens(await redeem(target, client, await newCode(target, client, { scope }))).accessToken
  ]
}

async function embedded (
  t: Test,
  auth: HostAuthModeOptions['auth'] | ResourceServerModeOptions['auth'],
  mode: string
): Promise<Target> {
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const common = {
    createServer,
    publicUrl: URL_OF_SERVICE,
    stores,
    sessionMode: mode === 'stateless' ? mode : 'stateful'
  } as const
  await app.register(mcpService, auth.mode === 'host' ? { ...common, auth } : { ...common, auth })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  return { app, upstream: { issuer: ISSUER }, fetch: injectFetch(app), url: URL_OF_SERVICE }
}

const services: Record<string, (t: Test, mode: string) => Promise<[Target, Tokens]>> = {
  broker: brokered,
  'resource server': async (t, mode) => [
    await embedded(t, { mode: 'resource-server', issuer: ISSUER, fetch: issuerFetch }, mode),
    async scope =>
      await new SignJWT({
        iss: ISSUER,
        aud: `${URL_OF_SERVICE}/mcp`,
        sub: 'alice',
        client_id: 'app',
        ...scope !== undefined && { scope }
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'key' }).setIssuedAt().setExpirationTime('5m').sign(privateKey)
  ],
  'tokens of the app around': async (t, mode) => [
    await embedded(t, {
      mode: 'host',
      authorizationServers: [ISSUER],
      verifyAccessToken: token => ({
        token,
        clientId: 'app',
        scopes: Buffer.from(token, 'base64url').toString().split(' ').filter(scope => scope !== '-'),
        extra: { issuer: ISSUER, subject: 'alice' }
      })
    }, mode),
    async scope => Buffer.from(scope ?? '-').toString('base64url')
  ]
}

const ROUTES = {
  stateful: [['POST', '/mcp'], ['GET', '/mcp'], ['DELETE', '/mcp'], ['GET', '/sse'], ['POST', '/messages?sessionId=x']],
  stateless: [['POST', '/mcp']]
} as const

for (const [issued, start] of Object.entries(services)) {
  for (const mode of ['stateful', 'stateless'] as const) {
    t.test(`tokens: ${issued}, ${mode}`, async t => {
      const [target, tokenFor] = await start(t, mode)
      // a broker gives the base scope to who names none
      for (const scope of ['notes:read', ...issued === 'broker' ? [] : [undefined, 'MCP', 'mcp:admin', 'xmcp']]) {
        const token = await tokenFor(scope)
        for (const [method, url] of ROUTES[mode]) {
          for (const version of ['2025-03-26', '2025-11-25', '2026-07-28']) {
            const answer = await target.app.inject({
              method,
              url,
              headers: {
                ...bearer(token),
                accept: 'application/json, text/event-stream',
                'mcp-protocol-version': version,
                ...method === 'POST' && { 'content-type': 'application/json' }
              },
              ...method === 'POST' && { payload: [{ jsonrpc: '2.0', id: 1, method: 'tools/list' }] }
            })
            const line = `${method} ${url}, ${version}, scope ${scope}`
            t.match(answer, { statusCode: 403, headers: { 'www-authenticate': /error="insufficient_scope"/ } }, line)
            t.match(
              /scope="([^"]*)"/.exec(String(answer.headers['www-authenticate']))?.[1]?.split(' '),
              scope === undefined ? ['mcp'] : [scope, 'mcp'],
              `${line}: what there is, and what is needed`
            )
          }
        }
      }
      const payload = {
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'a', version: '1' } }
      }
      const good = await target.app.inject({
        method: 'POST',
        url: '/mcp',
        payload,
        headers: { ...bearer(await tokenFor('notes:read mcp')), accept: 'application/json, text/event-stream' }
      })
      t.equal(good.statusCode, 200, 'with it, it is taken')
    })
  }
}
