import fc from 'fast-check'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import { createTokenVerifier } from '../../src/oauth/resource-server/resource-server.js'
import { Resources } from '../../src/oauth/resources.js'
import {
  newCode,
  newTokens,
  authorizationUrl,
  redeem,
  refresh,
  register,
  parseTokens,
  WEB_URI
} from '../support/oauth-flow.js'
import { issuerMetadata } from '../support/issuer-metadata.js'
import { startTarget } from '../support/target.js'

/*
 * RFC 3986 6.2.2.1, 6.2.3 and MCP, Resource Parameter: scheme and host in any case and the default port mean the same
 * resource, and so does a trailing slash. A host with a dot at its end is the same host (RFC 1034 3.1). Whatever
 * differs otherwise is another one.
 */

const PUBLIC_URL = 'https://mcp.example.com'
const RESOURCE = `${PUBLIC_URL}/mcp`

const SAME = [
  RESOURCE,
  'HTTPS://mcp.example.com/mcp',
  'https://MCP.Example.com/mcp',
  'hTTps://mcp.EXAMPLE.com:443/mcp',
  'https://mcp.example.com:/mcp',
  `${RESOURCE}/`,
  'HTTPS://MCP.EXAMPLE.COM:443/mcp/',
  'https://mcp.example.com./mcp',
  'https://mcp.example.com.:443/mcp/'
]
const OTHERS = [
  'https://mcp.example.com../mcp',
  'https://.mcp.example.com/mcp',
  'https://mcp.example.com/MCP',
  'https://mcp.example.com/mcp//',
  'https://mcp.example.com/mcp/x',
  'https://mcp.example.com/%6dcp',
  'https://mcp.example.com/x/../mcp',
  'https://mcp.example.com/mcp?',
  'https://mcp.example.com/mcp#',
  'https://mcp.example.com:80/mcp',
  'https://mcp.example.com:0443/mcp',
  'http://mcp.example.com:443/mcp',
  'http://mcp.example.com/mcp',
  'https://user@mcp.example.com/mcp',
  'https://user:pw@mcp.example.com/mcp',
  'https://@mcp.example.com/mcp',
  'https://mcp.example.com@evil.example/mcp',
  'https://evil.example/mcp',
  'https://mcp.example.com.evil.example/mcp',
  'https:mcp.example.com/mcp',
  'https:///mcp.example.com/mcp',
  'https://mcp.example.com\\mcp',
  ' https://mcp.example.com/mcp',
  'https://mcp.example.com/mcp\t'
]

const anyCase = (text: string) =>
  fc.array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map(upper =>
      [...text].map((character, index) => upper[index] === true ? character.toUpperCase() : character).join('')
    )

/** Every way to write a resource that means the same one. */
const sameResource = fc.tuple(
  anyCase('https'),
  anyCase('mcp.example.com'),
  fc.constantFrom('', '.'),
  fc.constantFrom('', ':443', ':'),
  fc.constantFrom('', '/')
)
  .map(([scheme, host, dot, port, slash]) => `${scheme}://${host}${dot}${port}/mcp${slash}`)

t.test('at the authorization endpoint', async t => {
  const target = await startTarget(t, { PUBLIC_URL })
  const client = await register(target, WEB_URI)
  for (const [resources, isOurs] of [[SAME, true], [[...OTHERS], false]] as const) {
    for (const resource of resources) {
      const { pathname, search } = authorizationUrl(target, client, { resource })
      const page = await target.app.inject({ url: pathname + search })
      t.equal(page.body.includes('name="decision"'), isOurs, resource)
      t.equal(/invalid_target/.test(page.body), !isOurs, `${resource}: refused as what it is`)
    }
  }
})

t.test('at the token endpoint, for a code and for a refresh token', async t => {
  const target = await startTarget(t, { PUBLIC_URL: 'http://localhost:5050' })
  const client = await register(target)
  const own = (resource: string) =>
    resource.replace(/^https/i, 'http').replace(/mcp\.example\.com(\.?)(?::(?:443)?)?/i, 'LocalHost$1:5050')
  let { refreshToken } = await newTokens(target, client)
  for (const resource of SAME.map(own)) {
    t.equal(
      (await redeem(target, client, await newCode(target, client), { resource })).status,
      200,
      `a code for ${resource}`
    )
    const refreshed = await refresh(target, client, refreshToken, { resource })
    t.equal(refreshed.status, 200, `a refresh token for ${resource}`)
    refreshToken = parseTokens(refreshed).refreshToken
  }
  const code = await newCode(target, client)
  for (
    const resource of [
      ...OTHERS,
      'http://user@localhost:5050/mcp',
      'http://localhost:5050/MCP',
      'http://localhost/mcp',
      'http://localhost:5050/mcp?'
    ]
  ) {
    for (
      const answer of [
        await redeem(target, client, code, { resource }),
        await refresh(target, client, refreshToken, { resource })
      ]
    ) {
      t.match([answer.status, answer.error], [400, 'invalid_target'], resource)
    }
  }
  t.match(await redeem(target, client, code), { status: 200 }, 'and the code is still good')
})

t.test('however it is written', async t => {
  const resources = new Resources(PUBLIC_URL, [{ paths: ['/mcp', '/sse'], scopes: ['mcp'] }])
  fc.assert(fc.property(sameResource, resource => resources.resolve(resource).resource === RESOURCE), { numRuns: 500 })
  // one character more, or another one, anywhere in it
  fc.assert(
    fc.property(
      fc.nat(RESOURCE.length),
      fc.string({ minLength: 1, maxLength: 1 }),
      fc.boolean(),
      (at, character, replaces) => {
        const resource = RESOURCE.slice(0, at) + character + RESOURCE.slice(replaces ? at + 1 : at)
        let resolved: string | undefined
        try {
          resolved = resources.resolve(resource).resource
        } catch {
          resolved = undefined
        }
        const means = URL.canParse(resource) ? new URL(resource).href.replace(/\/$/, '') : undefined
        return resolved === undefined || resolved === means || resource === RESOURCE.replace('.com', '.com.')
      }
    ),
    { numRuns: 2000 }
  )
  t.pass()
})

t.test('in the aud of a token of another authorization server: JWT and introspected', async t => {
  const issuer = 'https://issuer.example'
  const { privateKey, publicKey } = await generateKeyPair('RS256')
  const jwk = { ...await exportJWK(publicKey), kid: 'k', alg: 'RS256' }
  const introspected = new Map<string, unknown>()
  const toIssuer: typeof fetch = async (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input)
    if (pathname === '/jwks') return Response.json({ keys: [jwk] })
    if (pathname === '/introspect') {
      const token = new URLSearchParams(String(init?.body)).get('token') ?? ''
      return Response.json({
        active: true,
        iss: issuer,
        sub: 'alice',
        client_id: 'app',
        scope: 'mcp',
        aud: introspected.get(token)
      })
    }
    return Response.json(issuerMetadata(issuer))
  }
  const verify = createTokenVerifier({
    issuer,
    audiences: [RESOURCE, PUBLIC_URL, 'urn:Example:API'],
    introspection: { clientId: 'rs', clientSecret: 'secret' },
    fetch: toIssuer
  })
  const isTaken = async (token: string) =>
    await verify(token, { ip: '198.51.100.1' }).then(() => true, (error: unknown) => {
      t.match(error, { code: 'invalid_token' })
      return false
    })
  const audiences: Array<readonly [audience: string | string[], isOurs: boolean]> = [
    ...SAME.map(resource => [resource, true] as const),
    ...OTHERS.map(resource => [resource, false] as const),
    [`${PUBLIC_URL}/`, true],
    [['https://other.example', 'HTTPS://MCP.example.com/mcp'], true],
    ['urn:Example:API', true],
    ['urn:example:api', false],
    [[], false],
    ['', false],
    [[...OTHERS], false]
  ]
  for (const [index, [aud, isOurs]] of audiences.entries()) {
    const token = await new SignJWT({ iss: issuer, sub: 'alice', client_id: 'app', aud })
      .setProtectedHeader({ alg: 'RS256', kid: 'k' }).setIssuedAt().setExpirationTime('5m').sign(privateKey)
    t.equal(await isTaken(token), isOurs, `JWT for ${JSON.stringify(aud)}`)
    introspected.set(`opaque-${index}`, aud)
    t.equal(await isTaken(`opaque-${index}`), isOurs, `introspected token for ${JSON.stringify(aud)}`)
  }
})
