import Fastify, { type FastifyInstance } from 'fastify'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/client'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { InvalidTokenError } from '../../src/errors.js'
import type { CreateServer, McpServiceOptions, VerifyAccessToken } from '../../src/index.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { HostAuthModeOptions, ResourceServerModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { fetchFrom } from '../../src/testing/inject-fetch.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { issuerMetadata } from '../support/issuer-metadata.js'
import { parseObject } from '../support/json.js'
import { NAMES, PATHS, type Name } from './three-servers.js'

/* Three servers, whose tokens are not ours: each takes those that are for it, and asks its own policy. */
const BASE = 'https://mcp.example.com'
const ISSUER = 'https://login.example.com'
const CLIENT = { clientId: 'rs', clientSecret: 'rs-secret' }
const INITIALIZE = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } }

interface Claims {
  sub: string
  email: string
  scope: string
  aud: string | string[]
}

interface Mode {
  auth: (HostAuthModeOptions | ResourceServerModeOptions)['auth']
  tokenFor: (claims: Claims) => Promise<string>
  /** How often the issuer was asked, by path. */
  asked: Map<string, number>
}

async function makeResourceServer (isOpaque: boolean, requestsPerMinute = 300): Promise<Mode> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const keys = [{ ...await exportJWK(publicKey), alg: 'ES256', kid: '1' }]
  const issued = new Map<string, Claims>()
  const asked = new Map<string, number>()
  const fetch = fetchFrom(async request => {
    const { pathname } = new URL(request.url)
    asked.set(pathname, (asked.get(pathname) ?? 0) + 1)
    if (pathname === '/jwks') return Response.json({ keys })
    if (pathname === '/introspect') {
      const claims = issued.get(new URLSearchParams(await request.text()).get('token') ?? '')
      return Response.json(claims === undefined ? { active: false } : { active: true, client_id: 'app', ...claims })
    }
    return Response.json(issuerMetadata(ISSUER))
  })
  const tokenFor = async (claims: Claims) => {
    if (!isOpaque) {
      return await new SignJWT({ iss: ISSUER, client_id: 'app', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: '1' }).setIssuedAt().setExpirationTime('5m').sign(privateKey)
    }
    issued.set(`opaque-${issued.size}`, claims)
    return `opaque-${issued.size - 1}`
  }
  const auth = {
    mode: 'resource-server',
    issuer: ISSUER,
    fetch,
    requestsPerMinute,
    ...isOpaque && { introspection: CLIENT }
  } as const
  return { auth, tokenFor, asked }
}

async function makeHost (): Promise<Mode> {
  const verifyAccessToken: VerifyAccessToken = token => {
    const { sub: subject, aud, scope, ...claims } = parseObject(Buffer.from(token, 'base64url').toString())
    if (typeof aud !== 'string') throw new InvalidTokenError('The access token is unknown.')
    return {
      token,
      clientId: 'app',
      scopes: String(scope).split(' '),
      resource: new URL(aud),
      extra: { issuer: ISSUER, subject: String(subject), claims }
    }
  }
  return {
    auth: { mode: 'host', authorizationServers: [ISSUER], verifyAccessToken },
    tokenFor: async claims => Buffer.from(JSON.stringify(claims)).toString('base64url'),
    asked: new Map()
  }
}

const serverOf = (name: Name): CreateServer => () => {
  const server = new McpServer({ name, version: '1.0.0' })
  for (const tool of ['hello', 'secret']) {
    server.registerTool(tool, {}, () => ({ content: [{ type: 'text', text: `${tool} of ${name}` }] }))
  }
  return server
}

async function start (t: Test, auth: Mode['auth']): Promise<FastifyInstance> {
  const app = Fastify()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  const one = (name: Name) => ({ createServer: serverOf(name), path: PATHS[name] })
  const options = {
    publicUrl: BASE,
    stores,
    servers: {
      notes: { ...one('notes'), scopes: ['notes'], policy: { login: { emails: ['alice@example.com'] } } },
      files: {
        ...one('files'),
        scopes: ['files', 'files:write'],
        policy: { scopes: { 'files:write': { tools: ['secret'] } } }
      },
      maths: { ...one('maths'), scopes: ['maths'], policy: { roles: { anybody: { tools: ['hello'] } } } }
    }
  } satisfies Partial<McpServiceOptions>
  // one type of options or the other
  if (auth.mode === 'host') await app.register(mcpService, { ...options, auth })
  else await app.register(mcpService, { ...options, auth })
  return app
}

const metadataOf = (name: Name) => `${BASE}/.well-known/oauth-protected-resource${PATHS[name]}/mcp`

async function ask (app: FastifyInstance, name: Name, token: string, method: string, params = {}) {
  const { headers, ...request } = modernRequest(1, method, params, { [CLIENT_CAPABILITIES_META_KEY]: {} })
  const response = await app.inject({
    url: `${PATHS[name]}/mcp`,
    method: request.method,
    payload: request.body,
    headers: { ...headers, host: 'mcp.example.com', authorization: `Bearer ${token}` }
  })
  return { status: response.statusCode, challenge: response.headers['www-authenticate'], text: response.body }
}

async function initialize (app: FastifyInstance, name: Name, token: string): Promise<number> {
  const { statusCode } = await app.inject({
    url: `${PATHS[name]}/mcp`,
    method: 'POST',
    payload: { jsonrpc: '2.0', id: 1, method: 'initialize', params: INITIALIZE },
    headers: {
      host: 'mcp.example.com',
      accept: 'application/json, text/event-stream',
      authorization: `Bearer ${token}`
    }
  })
  return statusCode
}

const alice = { sub: 'alice', email: 'alice@example.com', email_verified: true, scope: 'notes files maths' }
const bob = { ...alice, sub: 'bob', email: 'bob@example.com' }

/** What `aud` may say, and at which servers the token is good then. */
const AUDIENCES: ReadonlyArray<[aud: string, at: readonly Name[]]> = [
  ...NAMES.map((name): [string, Name[]] => [`${BASE}${PATHS[name]}/mcp`, [name]]),
  ...NAMES.map((name): [string, Name[]] => [`${BASE}${PATHS[name]}/sse`, [name]]),
  [BASE, []],
  [`${BASE}/`, []],
  [`${BASE}/mcp`, []],
  [`${BASE}/tools`, []],
  [`${BASE}/tools/mcp`, []],
  [`${BASE}/NOTES/mcp`, []],
  [`${BASE}/notes/mcp/x`, []],
  [`${BASE}/notes/mcp?files`, []],
  [`${BASE}/notes/files/mcp`, []],
  ['https://other.example.com/notes/mcp', []]
]

async function checkTokens (t: Test, app: FastifyInstance, { tokenFor }: Mode): Promise<void> {
  for (const [aud, at] of AUDIENCES) {
    const token = await tokenFor({ ...alice, aud })
    for (const name of NAMES) {
      const { status, challenge } = await ask(app, name, token, 'tools/list')
      t.equal(status, at.includes(name) ? 200 : 401, `${aud} at ${name}`)
      t.equal(await initialize(app, name, token), status, 'of the other era, too')
      if (status !== 401) continue
      t.match(challenge, `resource_metadata="${metadataOf(name)}", scope="${name}"`, 'its own challenge')
      for (const other of NAMES) if (other !== name) t.notMatch(challenge, PATHS[other])
    }
  }
}

async function checkPolicies (t: Test, app: FastifyInstance, { tokenFor }: Mode): Promise<void> {
  const token = async (who: typeof alice, name: Name, scope = who.scope) =>
    await tokenFor({ ...who, scope, aud: `${BASE}${PATHS[name]}/mcp` })
  for (const name of NAMES) {
    const scope = NAMES.filter(other => other !== name).join(' ')
    t.match(await ask(app, name, await token(alice, name, scope), 'tools/list'), {
      status: 403,
      // with those that the token has
      challenge: `${scope} ${name}"`
    }, `${name} asks for its own scope`)
  }
  t.equal((await ask(app, 'notes', await token(bob, 'notes'), 'tools/list')).status, 403, 'not for bob')
  for (const name of ['files', 'maths'] as const) {
    t.equal((await ask(app, name, await token(bob, name), 'tools/list')).status, 200, `${name}, for bob`)
  }
  const secret = async (name: Name) => await ask(app, name, await token(alice, name), 'tools/call', { name: 'secret' })
  t.match(await secret('notes'), { status: 200, text: /secret of notes/ })
  t.match(await secret('files'), { status: 403, challenge: /scope="[^"]* files:write"/ }, 'by a scope of its own')
  t.match((await secret('maths')).text, /"error"/, 'not with these roles')
}

async function checkMetadata (t: Test, app: FastifyInstance): Promise<void> {
  const get = async (url: string) => await app.inject({ url, headers: { host: 'mcp.example.com' } })
  for (const name of NAMES) {
    for (const endpoint of ['mcp', 'sse']) {
      const path = `${PATHS[name]}/${endpoint}`
      t.match((await get(`/.well-known/oauth-protected-resource${path}`)).json(), {
        resource: BASE + path,
        authorization_servers: [ISSUER],
        scopes_supported: name === 'files' ? ['files', 'files:write'] : [name]
      })
    }
  }
  for (const path of ['', '/mcp', '/sse', '/tools/mcp', '/other/mcp']) {
    t.equal((await get(`/.well-known/oauth-protected-resource${path}`)).statusCode, 404, `no metadata of ${path}`)
  }
}

const MODES: Record<string, () => Promise<Mode>> = {
  'resource-server, JWTs': () => makeResourceServer(false),
  'resource-server, opaque tokens': () => makeResourceServer(true),
  host: makeHost
}

for (const [what, make] of Object.entries(MODES)) {
  t.test(what, async t => {
    const mode = await make()
    const app = await start(t, mode.auth)
    await checkTokens(t, app, mode)
    await checkPolicies(t, app, mode)
    await checkMetadata(t, app)
  })
}

t.test('a token for two servers is good at both, and one for none is asked about once', async t => {
  for (const isOpaque of [false, true]) {
    const { auth, tokenFor, asked } = await makeResourceServer(isOpaque, 5)
    const app = await start(t, auth)
    const both = await tokenFor({ ...alice, aud: [`${BASE}/notes/mcp`, `${BASE}/files/sse`] })
    const statuses = []
    for (const name of NAMES) statuses.push((await ask(app, name, both, 'tools/list')).status)
    t.strictSame(statuses, [200, 200, 401])
    t.strictSame(Object.fromEntries(asked), {
      '/.well-known/openid-configuration': 1,
      [isOpaque ? '/introspect' : '/jwks']: 1
    }, 'the issuer is asked once for all')
    if (!isOpaque) continue
    const unknown = []
    for (let sent = 0; sent < 9; sent++) {
      unknown.push((await ask(app, NAMES[sent % 3] ?? 'notes', `made-up-${sent}`, 'tools/list')).status)
    }
    t.strictSame(unknown, [401, 401, 401, 401, 401, 429, 429, 429, 429], 'made-up tokens are limited in all')
    t.equal((await ask(app, 'notes', both, 'tools/list')).status, 200, 'and whom is known is served')
  }
})
