import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage } from 'node:http'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { exportJWK, generateKeyPair, SignJWT, type JWK } from 'jose'
import t, { type Test } from 'tap'
import { createTokenVerifier, type ResourceServerOptions } from '../../src/oauth/resource-server/resource-server.js'
import { addressOf } from '../support/address-of.js'
import { freePort } from '../support/free-port.js'
import { issuerMetadata } from '../support/issuer-metadata.js'
import { initializeParams } from '../support/mcp-harness.js'
import { Person } from '../support/person.js'
import { startService } from '../support/service.js'

const RESOURCE = 'https://mcp.example.com/mcp'

/** An authorization server as far as a resource server sees it. */
async function startIssuer (t: Test) {
  const keys: Array<
    { kid: string, alg: string, privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'], jwk: JWK }
  > = []
  const asked = { jwks: 0, introspection: 0 }
  const state = { down: false }
  const introspected = new Map<string, Record<string, unknown>>()

  const server = createHttpServer((request, response): unknown => {
    const json = (body: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (state.down) return json({}, 503)
    if (request.url === '/.well-known/openid-configuration') {
      return json(issuerMetadata(issuer))
    }
    if (request.url === '/jwks') {
      asked.jwks++
      return json({ keys: keys.map(({ jwk }) => jwk) })
    }
    asked.introspection++
    return body(request).then(text => {
      if (request.headers.authorization !== `Basic ${btoa('rs:rssecret')}`) {
        return json({ error: 'invalid_client' }, 401)
      }
      return json(introspected.get(new URLSearchParams(text).get('token') ?? '') ?? { active: false })
    }, () => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = addressOf(server)
  const issuer = `http://localhost:${address.port}`
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })

  const addKey = async (kid: string, alg = 'RS256') => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
    keys.push({ kid, alg, privateKey, jwk: { ...await exportJWK(publicKey), kid, alg, use: 'sig' } })
  }
  await addKey('first')
  const sign = async (claims: Record<string, unknown> = {}, kid = 'first', expires: number | string = '5m') => {
    const key = keys.find(key => key.kid === kid)
    if (key === undefined) throw new Error(`no key ${kid}`)
    return await new SignJWT({
      iss: issuer,
      aud: RESOURCE,
      sub: 'alice',
      client_id: 'app',
      scope: 'mcp other',
      ...claims
    })
      .setProtectedHeader({ alg: key.alg, kid }).setIssuedAt().setExpirationTime(expires).sign(key.privateKey)
  }
  return {
    issuer,
    asked,
    state,
    introspected,
    addKey,
    sign,
    verifier: (options: Partial<ResourceServerOptions> = {}, now?: () => number) =>
      createTokenVerifier({ issuer, audiences: [RESOURCE], ...options }, now)
  }
}

async function body (request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}

t.test('a JWT of 16 KB works over the network, and a larger one is no token of ours', async t => {
  const issuer = await startIssuer(t)
  const port = String(await freePort())
  const service = await startService(t, {
    AUTH_MODE: 'resource-server',
    OAUTH_ISSUER_URL: issuer.issuer,
    OAUTH_AUDIENCES: RESOURCE,
    PORT: port
  })
  for (const [characters, status] of [[11_700, 200], [13_000, 401]] as const) {
    const token = await issuer.sign({ groups: 'x'.repeat(characters) })
    for (const path of ['/mcp', '/']) {
      const response = await fetch(service.url + path, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json'
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() })
      })
      t.equal(response.status, status, `${path}: ${token.length} bytes: ${await response.text()}`)
    }
  }
})

t.test('JWTs by the keys of their issuer', async t => {
  const issuer = await startIssuer(t)
  const verify = issuer.verifier()
  t.match(await verify(await issuer.sign()), {
    clientId: 'app',
    scopes: ['mcp', 'other'],
    extra: { issuer: issuer.issuer, subject: 'alice' }
  })
  t.match(await verify(await issuer.sign({ scope: undefined, scp: ['a', 'b'], client_id: undefined, azp: 'spa' })), {
    clientId: 'spa',
    scopes: ['a', 'b']
  })
  t.match(
    await verify(await issuer.sign({ aud: ['https://other.example', RESOURCE] })),
    { clientId: 'app' },
    'one of several audiences'
  )

  const now = Math.floor(Date.now() / 1000)
  const refused: Array<[string, string]> = [
    ['another audience', await issuer.sign({ aud: 'https://other.example/mcp' })],
    ['no audience', await issuer.sign({ aud: undefined })],
    ['another issuer', await issuer.sign({ iss: 'https://evil.example' })],
    ['expired', await issuer.sign({}, 'first', now - 60)],
    ['not valid yet', await issuer.sign({ nbf: now + 600 })],
    ['no subject', await issuer.sign({ sub: undefined })],
    [
      'altered',
      (await issuer.sign()).replace(
        /\.[^.]+\./,
        `.${
          btoa(JSON.stringify({ iss: issuer.issuer, aud: RESOURCE, sub: 'root', exp: now + 60 })).replace(/=+$/, '')
        }.`
      )
    ],
    [
      'alg none',
      `${btoa('{"alg":"none"}').replace(/=+$/, '')}.${
        btoa(JSON.stringify({ iss: issuer.issuer, aud: RESOURCE, sub: 'root', exp: now + 60 })).replace(/=+$/, '')
      }.x`
    ],
    ['opaque', 'opaque-token'],
    ['much too long', `${'a'.repeat(20_000)}.b.c`]
  ]
  for (const [what, token] of refused) await t.rejects(verify(token), { code: 'invalid_token' }, what)
  t.match(await verify(await issuer.sign({}, 'first', now - 10)), { clientId: 'app' }, 'clocks differ by some seconds')
})

t.test('how login servers name the scopes and the client of a token', async t => {
  const issuer = await startIssuer(t)
  const verify = issuer.verifier()
  const bare = { client_id: undefined, scope: undefined }
  for (const [claims, expected] of [
    [{ scope: 'a  b a' }, { scopes: ['a', 'b'] }],
    [{ scope: ['a', 'b'] }, { scopes: ['a', 'b'] }],
    [{ scope: ['a b', 'c', 7, null] }, { scopes: ['a', 'b', 'c'] }],
    [{ scope: [] }, { scopes: [] }],
    [{ scope: { a: 1 } }, { scopes: [] }],
    [{ scope: undefined, scp: 'a b' }, { scopes: ['a', 'b'] }],
    [{ scope: '', scp: ['a', 'b'] }, { scopes: ['a', 'b'] }],
    [{ scope: null, scp: ['a', 'b'] }, { scopes: ['a', 'b'] }],
    [{ ...bare }, { scopes: [], clientId: '' }],
    [{ ...bare, azp: 'keycloak' }, { clientId: 'keycloak' }],
    [{ ...bare, appid: 'entra-1' }, { clientId: 'entra-1' }],
    [{ ...bare, cid: 'okta' }, { clientId: 'okta' }],
    [{ ...bare, client_id: '', azp: null, appid: 7, cid: 'okta' }, { clientId: 'okta' }],
    [{ client_id: 'first', cid: 'second' }, { clientId: 'first' }]
  ] as const) {
    const token = await issuer.sign(claims)
    t.match(await verify(token), expected, JSON.stringify(claims))
    issuer.introspected.set('opaque', { active: true, sub: 'alice', aud: RESOURCE, client_id: 'app', ...claims })
    const ask = issuer.verifier({ introspection: { clientId: 'rs', clientSecret: 'rssecret' } })
    t.match(await ask('opaque'), expected, `${JSON.stringify(claims)}, introspected`)
  }
})

t.test('the audience', async t => {
  const issuer = await startIssuer(t)
  const introspection = { clientId: 'rs', clientSecret: 'rssecret' }
  for (const [aud, isAccepted] of [
    [RESOURCE, true],
    [`${RESOURCE}/`, true],
    ['HTTPS://MCP.example.com:443/mcp', true],
    [['https://other.example', `${RESOURCE}/`], true],
    [undefined, false],
    [null, false],
    ['', false],
    [[], false],
    [7, false],
    ['https://mcp.example.com', false],
    ['https://mcp.example.com/MCP', false]
  ] as const) {
    for (const client of ['app', 'cognito']) {
      const accepted = isAccepted || (aud === undefined && client === 'cognito')
      const verify = issuer.verifier({ clientsWithoutAudience: ['cognito'], introspection })
      issuer.introspected.set('opaque', { active: true, sub: 'alice', aud, client_id: client })
      for (const token of [await issuer.sign({ aud, client_id: client }), 'opaque']) {
        const code = await verify(token).then(() => undefined, (error: { code?: string }) => error.code)
        t.equal(code, accepted ? undefined : 'invalid_token', `${JSON.stringify(aud)} for ${client}`)
      }
    }
  }
})

t.test('a new key is accepted at once, another algorithm only if it is allowed', async t => {
  const issuer = await startIssuer(t)
  const verify = issuer.verifier()
  await verify(await issuer.sign())
  await issuer.addKey('second', 'ES256')
  const before = Date.now
  // the keys are not fetched for every unknown key id: half a minute has to pass
  t.teardown(() => { Date.now = before })
  Date.now = () => before() + 31_000
  t.match(await verify(await issuer.sign({}, 'second')), { clientId: 'app' }, 'rotation')
  Date.now = before
  t.equal(issuer.asked.jwks, 2)
  await t.rejects(issuer.verifier({ algorithms: ['RS256'] })(await issuer.sign({}, 'second')), {
    code: 'invalid_token'
  })
})

t.test('an issuer that is down is an outage, and no reason to log in again', async t => {
  const issuer = await startIssuer(t)
  let now = Date.now()
  const verify = issuer.verifier({}, () => now)
  issuer.state.down = true
  await t.rejects(verify(await issuer.sign()), { code: 'temporarily_unavailable', retryAfterSeconds: 5 })
  issuer.state.down = false
  now += 2000
  t.match(await verify(await issuer.sign()), { clientId: 'app' }, 'and it is asked again')
})

t.test('opaque tokens by asking the issuer, not at every call', async t => {
  const issuer = await startIssuer(t)
  const exp = Math.floor(Date.now() / 1000) + 300
  issuer.introspected.set('good', { active: true, sub: 'alice', client_id: 'app', scope: 'mcp', aud: RESOURCE, exp })
  issuer.introspected.set('foreign', {
    active: true,
    sub: 'alice',
    client_id: 'app',
    aud: 'https://other.example',
    exp
  })
  issuer.introspected.set('nobody', { active: true, client_id: 'app', aud: RESOURCE, exp })
  const verify = issuer.verifier({ introspection: { clientId: 'rs', clientSecret: 'rssecret' } })
  t.match(await verify('good'), { clientId: 'app', scopes: ['mcp'], extra: { subject: 'alice' } })
  await verify('good')
  t.equal(issuer.asked.introspection, 1)
  for (const token of ['foreign', 'nobody', 'unknown']) await t.rejects(verify(token), { code: 'invalid_token' }, token)
  await t.rejects(
    issuer.verifier({ introspection: { clientId: 'rs', clientSecret: 'wrong' } })('good'),
    { code: 'temporarily_unavailable' },
    'our own credentials are wrong: not the caller\'s fault'
  )
})

t.test('the whole service in the mode resource-server: a client logs in at the upstream itself', async t => {
  const service = await startService(t, { AUTH_MODE: 'resource-server' }, {
    scopes: ['openid', 'offline_access', 'mcp'],
    features: {
      devInteractions: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'mcp',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } }
        })
      }
    }
  })
  const challenge = await fetch(`${service.url}/mcp`, { method: 'POST' })
  t.equal(challenge.status, 401)
  const metadata = await fetch(`${service.url}/.well-known/oauth-protected-resource/mcp`)
  t.match(await metadata.json(), { resource: `${service.url}/mcp`, authorization_servers: [service.upstream.issuer] })
  t.equal((await fetch(`${service.url}/token`, { method: 'POST' })).status, 404, 'there is no broker')
  t.equal((await fetch(`${service.url}/readyz`)).status, 200)

  const person = new Person('alice')
  const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  await t.rejects(new Client({ name: 'test', version: '1' }).connect(transport), /Unauthorized/)
  t.equal(person.authorizationUrl?.origin, service.upstream.issuer)
  await transport.finishAuth((await person.logIn()).get('code') ?? '')
  const client = new Client({ name: 'test', version: '1' })
  await client.connect(new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person }))
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ text: '3' }] })
  t.match(JSON.stringify(await client.callTool({ name: 'whoami', arguments: {} })), /alice/)
  await client.close()
})
