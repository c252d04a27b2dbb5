import t, { type Test } from 'tap'
import type { AuthorizeGrant, UpstreamOptions } from '../../src/oauth/options.js'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { ScriptableUpstream, type ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { parseObject } from '../support/json.js'
import { clock } from '../support/clock.js'
import { journey, startService, TestClient, type Json } from './test-client.js'

/** Logs in as alice. @returns who the tools see, and who `authorizeGrant` was asked about */
async function whoIs (
  t: Test,
  options: ScriptableUpstreamOptions,
  ours: (origin: string) => Partial<UpstreamOptions> = () => ({})
) {
  const upstream = new ScriptableUpstream(options)
  const asked: Json[] = []
  const authorizeGrant: AuthorizeGrant = ({ claims }) => {
    asked.push({ ...claims })
    return { allow: true }
  }
  const service = await startService(t, {
    issuerUrl: new URL(upstream.issuer),
    fetch: upstream.fetch,
    ...ours(upstream.origin)
  }, { authorizeGrant })
  const { client, whoami } = await journey(service)
  return { upstream, service, client, whoami, asked }
}

t.test('from the ID token', async t => {
  const { upstream, whoami, asked } = await whoIs(t, {})
  const claims = { sub: 'alice', name: 'alice of the ID token', email: 'alice@id-token.example' }
  t.strictSame(whoami, { issuer: upstream.issuer, subject: 'alice', claims, scopes: ['mcp'] })
  t.strictSame(asked, [claims], 'once for a login')
  t.equal(upstream.asked('userinfo').length, 0, 'nobody else is asked')
})

t.test('every claim about the person is there to decide by, those of the token are not', async t => {
  const { asked } = await whoIs(t, {
    idTokenClaims: () => ({
      name: 'A',
      hd: 'example.com',
      tid: 'tenant',
      'https://example.com/roles': ['admin'],
      at_hash: 'x',
      sid: 's',
      auth_time: 1
    })
  })
  t.strictSame(asked, [{
    sub: 'alice',
    name: 'A',
    hd: 'example.com',
    tid: 'tenant',
    'https://example.com/roles': ['admin']
  }])
})

t.test('from userinfo, if the ID token has only the subject', async t => {
  const { whoami } = await whoIs(t, { idTokenClaims: () => ({}) })
  t.match(whoami, {
    subject: 'alice',
    claims: { sub: 'alice', name: 'alice of userinfo', email: 'alice@userinfo.example' }
  })
})

t.test('from userinfo, without an ID token', async t => {
  const { whoami } = await whoIs(t, { idTokens: false })
  t.match(whoami, { subject: 'alice', claims: { sub: 'alice', name: 'alice of userinfo' } })
})

t.test('userinfo of somebody else is not believed; the ID token is', async t => {
  for (const userinfo of [{ sub: 'mallory', name: 'Mallory' }, { name: 'Mallory' }, 'no JSON']) {
    const { whoami } = await whoIs(t, {
      idTokenClaims: () => ({}),
      overrides: { userinfo: () => ({ status: 200, body: userinfo }) }
    })
    t.strictSame([whoami.subject, whoami.claims], ['alice', { sub: 'alice' }])
  }
})

t.test('with an ID token, userinfo may be down', async t => {
  for (const status of [500, 403, 404]) {
    const { whoami } = await whoIs(t, { idTokenClaims: () => ({}), overrides: { userinfo: () => ({ status }) } })
    t.strictSame([whoami.subject, whoami.claims], ['alice', { sub: 'alice' }], `${status}`)
  }
})

t.test('without an ID token, a login does not get another subject because userinfo is down', async t => {
  const upstream = new ScriptableUpstream({ idTokens: false, overrides: { userinfo: () => ({ status: 500 }) } })
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch })
  const client = await TestClient.register(service)
  t.match(await client.answer(), { error: 'temporarily_unavailable' })
  upstream.overrides.userinfo = () => ({ status: 403 })
  t.match(await client.answer(), { error: 'server_error' })
})

t.test('from userinfoUrl, with another claim for the subject', async t => {
  const { whoami, upstream } = await whoIs(
    t,
    { idTokens: false },
    origin => ({ userinfoUrl: new URL(`${origin}/user`), subjectClaim: 'id', scopes: ['read:user'] })
  )
  t.match(whoami, { subject: '1005', claims: { sub: '1005', id: 1005, login: 'alice', name: 'alice of user' } })
  t.equal(upstream.asked('userinfo').length, 0)
  t.match(upstream.asked('user')[0]?.headers, {
    accept: 'application/json',
    authorization: /^Bearer upstream-/,
    'user-agent': /./
  })
})

t.test('userinfoUrl adds to an ID token, and takes the place of nothing in it', async t => {
  const { whoami } = await whoIs(t, {}, origin => ({ userinfoUrl: new URL(`${origin}/user`) }))
  t.match(whoami, { subject: 'alice', claims: { sub: 'alice', name: 'alice of the ID token', login: 'alice' } })
})

t.test('the subject by a claim of the ID token', async t => {
  const { whoami } = await whoIs(
    t,
    { idTokenClaims: () => ({ oid: 'object-1', name: 'A' }) },
    () => ({ subjectClaim: 'oid' })
  )
  t.match(whoami, { subject: 'object-1', claims: { sub: 'object-1', oid: 'object-1' } })
})

t.test('without a subject, there is no login', async t => {
  const cases: Array<[ScriptableUpstreamOptions, string]> = [
    [{ overrides: { user: () => ({ status: 200, body: { login: 'alice' } }) } }, 'access_denied'],
    [{ overrides: { user: () => ({ status: 200, body: { id: { nested: true } } }) } }, 'access_denied'],
    [{ overrides: { user: () => ({ status: 200, body: '[1' }) } }, 'server_error'],
    [{ overrides: { user: () => ({ status: 200, body: 'null' }) } }, 'server_error'],
    [
      { overrides: { user: () => ({ status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }) } },
      'server_error'
    ],
    [{ overrides: { user: () => ({ status: 403 }) } }, 'server_error'],
    [{ overrides: { user: () => ({ status: 502, body: '<h1>Bad Gateway</h1>' }) } }, 'temporarily_unavailable']
  ]
  for (const [options, code] of cases) {
    const upstream = new ScriptableUpstream({ idTokens: false, ...options })
    const service = await startService(t, {
      issuerUrl: new URL(upstream.issuer),
      fetch: upstream.fetch,
      userinfoUrl: new URL(`${upstream.origin}/user`),
      subjectClaim: 'id'
    })
    t.match(await (await TestClient.register(service)).answer(), { error: code })
  }
})

const NOBODY: unknown[] = [
  '',
  ' ',
  '\t\n',
  'alice\u0000',
  'alice\nroot',
  'x'.repeat(1025),
  'grant:mcpg_x',
  null,
  true,
  false,
  {},
  ['alice'],
  1.5,
  2 ** 53,
  1e300
]

t.test('a subject that cannot identify anybody means no login, wherever it comes from', async t => {
  for (const [index, sub] of NOBODY.entries()) {
    const places = [
      ['ID token', { idTokenClaims: () => ({ name: 'A', sub }) }, {}],
      ['userinfo', { idTokens: false, overrides: { userinfo: () => ({ status: 200, body: { sub, name: 'A' } }) } }, {}],
      ['configured userinfo', {
        idTokens: false,
        overrides: { user: () => ({ status: 200, body: { sub, name: 'A' } }) }
      }, { userinfo: true }],
      ['configured claim', {
        idTokens: false,
        overrides: { user: () => ({ status: 200, body: { id: sub, name: 'A' } }) }
      }, { userinfo: true, subjectClaim: 'id' }]
    ] as const
    // an empty one everywhere, the others in turn
    for (
      const [where, options, ours] of index === 0
        ? places
        : places.filter((_, place) => place === index % places.length)
    ) {
      const upstream = new ScriptableUpstream(options)
      const { userinfo, subjectClaim }: { userinfo?: boolean, subjectClaim?: string } = ours
      const service = await startService(t, {
        issuerUrl: new URL(upstream.issuer),
        fetch: upstream.fetch,
        ...userinfo === true && { userinfoUrl: new URL(`${upstream.origin}/user`) },
        ...subjectClaim !== undefined && { subjectClaim }
      })
      const answer = await (await TestClient.register(service)).answer()
      t.match(answer, { error: /^(access_denied|server_error)$/ }, `${where}: ${JSON.stringify(sub)?.slice(0, 40)}`)
      t.notOk('code' in answer)
    }
  }
})

t.test('subjects that differ only a little are different people', async t => {
  const subjects = []
  for (const sub of ['alice', 'Alice', ' alice', 'alice ', 'al\u0131ce', 12, 9007199254740991]) {
    const { whoami } = await whoIs(t, {
      idTokens: false,
      overrides: { user: () => ({ status: 200, body: { id: sub } }) }
    }, origin => ({ userinfoUrl: new URL(`${origin}/user`), subjectClaim: 'id' }))
    subjects.push(whoami.subject)
  }
  t.strictSame(subjects, ['alice', 'Alice', ' alice', 'alice ', 'al\u0131ce', '12', '9007199254740991'])
})

t.test('an ID token of another client is not taken, nor userinfo of somebody else', async t => {
  const clientId = 'us'
  const rows: Array<[string, ScriptableUpstreamOptions, boolean, boolean?]> = [
    ['azp of another client', { idTokenClaims: () => ({ name: 'A', azp: 'another' }) }, false],
    ['azp that is no text', { idTokenClaims: () => ({ name: 'A', azp: [clientId] }) }, false],
    ['an empty azp', { idTokenClaims: () => ({ name: 'A', azp: '' }) }, false],
    ['our azp', { idTokenClaims: () => ({ name: 'A', azp: clientId }) }, true],
    ['several audiences, and our azp', {
      idTokenClaims: () => ({ name: 'A', azp: clientId, aud: [clientId, 'another'] })
    }, true],
    ['several audiences without azp', { idTokenClaims: () => ({ name: 'A', aud: [clientId, 'another'] }) }, false],
    ['several audiences and the azp of another', {
      idTokenClaims: () => ({ name: 'A', azp: 'another', aud: [clientId, 'another'] })
    }, false],
    ['another audience', { idTokenClaims: () => ({ name: 'A', aud: 'another' }) }, false],
    [
      'configured userinfo of another sub',
      { overrides: { user: () => ({ status: 200, body: { sub: 'bob' } }) } },
      false,
      true
    ],
    [
      'configured userinfo of the same sub',
      { overrides: { user: () => ({ status: 200, body: { sub: 'alice' } }) } },
      true,
      true
    ]
  ]
  for (const [what, options, taken, userinfo] of rows) {
    const upstream = new ScriptableUpstream(options)
    upstream.clients.addByHand('http://localhost:5050', { authMethod: 'client_secret_basic' })
    const service = await startService(t, {
      issuerUrl: new URL(upstream.issuer),
      fetch: upstream.fetch,
      clientId,
      clientSecret: 'shh',
      ...userinfo === true && { userinfoUrl: new URL(`${upstream.origin}/user`) }
    })
    const answer = await (await TestClient.register(service)).answer()
    t.equal('code' in answer, taken, `${what}: ${answer.error ?? 'taken'}`)
  }
})

t.test('a token of a type that takes a proof is not used as a bearer token; one of an odd type is', async t => {
  const time = clock(t)
  for (
    const [type, taken] of [
      ['Bearer', true],
      ['bearer', true],
      ['BEARER', true],
      ['DPoP', false],
      ['dpop', false],
      ['mac', false],
      ['N_A', false],
      ['pop', false],
      [['DPoP'], false],
      // odd, and no other type that is known
      ['Bearer ', true],
      ['BearerToken', true],
      ['JWT', true],
      ['', true],
      [null, true],
      [5, true]
    ] as const
  ) {
    const upstream = new ScriptableUpstream({ expiresIn: 60 })
    let current: unknown = 'Bearer'
    const retyped: typeof fetch = async (input, init) => {
      const response = await upstream.fetch(input, init)
      if (new URL(String(input)).pathname !== '/token') return response
      const body = parseObject(await response.text())
      return Response.json({ ...body, token_type: current }, { status: response.status })
    }
    const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: retyped })
    const client = await TestClient.register(service)
    await client.logIn()
    current = type
    time.forward(120)
    t.equal((await client.refresh()).status, taken ? 200 : 502, `${JSON.stringify(type)} at a refresh`)
    const answer = await client.answer()
    t.equal('code' in answer, taken, `${JSON.stringify(type)} at a login: ${answer.error ?? 'taken'}`)
  }
})

t.test('an ID token at a refresh is of the person who logged in, and ours', async t => {
  const time = clock(t)
  for (
    const [what, later, taken] of [
      ['the same', { name: 'A' }, true],
      ['of somebody else', { name: 'A', sub: 'bob' }, false],
      ['of another client', { name: 'A', azp: 'another' }, false]
    ] as const
  ) {
    const upstream = new ScriptableUpstream({ expiresIn: 60 })
    upstream.clients.addByHand('http://localhost:5050', { authMethod: 'client_secret_basic' })
    const withIdToken: typeof fetch = async (input, init) => {
      const isRefresh = new URL(String(input)).pathname === '/token' &&
        String(init?.body).includes('grant_type=refresh_token')
      const response = await upstream.fetch(input, init)
      if (!isRefresh) return response
      const body = parseObject(await response.text())
      return Response.json({ ...body, id_token: await upstream.sign({ aud: 'us', sub: 'alice', ...later }) }, {
        status: response.status
      })
    }
    const service = await startService(t, {
      issuerUrl: new URL(upstream.issuer),
      fetch: withIdToken,
      clientId: 'us',
      clientSecret: 'shh'
    })
    const client = await TestClient.register(service)
    await client.logIn()
    time.forward(120)
    const { status, body } = await client.refresh()
    t.equal(status, taken ? 200 : 502, `${what}: ${JSON.stringify(body)}`)
  }
})

t.test('no identity at all: each login is somebody else', async t => {
  const { whoami, client, service } = await whoIs(t, { idTokens: false, metadata: { userinfo_endpoint: undefined } })
  t.match(whoami, { subject: /^grant:mcpg_[\w-]{43}$/ })
  t.strictSame(whoami.claims, {})
  await client.refresh()
  t.equal((await client.call('whoami')).subject, whoami.subject, 'the same after a refresh')
  t.not((await journey(service)).whoami.subject, whoami.subject)
})

t.test('an upstream that has userinfo, but not for a token without openid', async t => {
  const { whoami } = await whoIs(t, {
    overrides: {
      userinfo: () => ({ status: 403, headers: { 'www-authenticate': 'Bearer error="insufficient_scope"' } })
    }
  }, () => ({ scopes: ['api'] }))
  t.match(whoami, { subject: /^grant:/ })
})

t.test('authorizeGrant refuses: access_denied at the client, with its reason', async t => {
  const upstream = await startDemoUpstream({ port: 0 })
  t.teardown(() => upstream.close())
  const attempts: unknown[] = []
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer) }, {
    scopes: ['mcp', 'files:read'],
    authorizeGrant: async attempt => {
      attempts.push(attempt)
      return attempt.claims.email === 'alice@example.com'
        ? { allow: true }
        : { allow: false, ...attempt.claims.sub === 'bob' && { reason: 'Bob has left.' } }
    }
  })
  const client = await TestClient.register(service)
  t.match(await client.answer('bob', 'mcp files:read'), {
    error: 'access_denied',
    error_description: 'Bob has left.',
    state: 'state of the client',
    iss: service.url
  })
  t.match(await client.answer('carol'), { error: 'access_denied', error_description: 'You may not use this server.' })
  t.match(await client.logIn('alice', 'mcp files:read'), { scope: 'mcp files:read' })
  t.match(attempts[0], {
    claims: { sub: 'bob', email: 'bob@example.com', name: 'bob' },
    client: { clientId: client.clientId, clientName: 'Test client' },
    requestedScopes: ['mcp', 'files:read']
  })
  t.equal(attempts.length, 3)
})

t.test('authorizeGrant narrows the scopes: the tokens have only those, after a refresh, too', async t => {
  const upstream = new ScriptableUpstream()
  const service = await startService(t, { issuerUrl: new URL(upstream.issuer), fetch: upstream.fetch }, {
    scopes: ['mcp', 'files:read', 'files:write'],
    authorizeGrant: () => ({ allow: true, scopes: ['mcp', 'files:read'] })
  })
  const client = await TestClient.register(service)
  t.match(await client.logIn('alice', 'mcp files:read files:write'), { scope: 'mcp files:read' })
  t.strictSame((await client.call('whoami')).scopes, ['mcp', 'files:read'])
  t.match((await client.refresh()).body, { scope: 'mcp files:read' })
  t.strictSame((await client.call('whoami')).scopes, ['mcp', 'files:read'])
})
