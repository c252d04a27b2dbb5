import t from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import {
  authorizationUrl,
  bearer,
  callMcp,
  isAt,
  isGood,
  newCode,
  newTokens,
  openBrowser,
  redeem,
  refresh,
  register,
  revoke,
  parseTokens,
  LOOPBACK_URI
} from '../support/oauth-flow.js'
import { embed, startTarget } from '../support/target.js'

/** Resources that are not this server's. */
function others (url: string): string[] {
  const { host, port } = new URL(url)
  return [
    'https://other.example/mcp',
    'https://other.example',
    `${url}.evil.example/mcp`,
    `${url}@evil.example/mcp`,
    `http://evil.example:${port}/mcp`,
    `https://${host}/mcp`,
    `http://localhost:${Number(port) - 1}/mcp`,
    'http://localhost/mcp',
    `http://127.0.0.1:${port}/mcp`,
    `${url}/other`,
    `${url}/mcp/other`,
    `${url}/mcp//`,
    `${url}//`,
    `${url}/mcp/../other`,
    `${url}/x/../mcp`,
    `${url}/mcp?x=1`,
    `${url}/mcp#x`,
    `${url}/MCP`,
    `${url}/%6dcp`,
    `${url}/mc`,
    `${url}/mcpx`,
    `//${host}/mcp`,
    '/mcp',
    'mcp',
    'urn:x',
    'constructor',
    '__proto__',
    `${url}/mcp ${url}/mcp`,
    `${url}/mcp\n`
  ]
}

t.test('no token is issued for another server', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const code = await newCode(target, client)
  const { refreshToken } = await newTokens(target, client)
  for (const resource of others(target.url)) {
    const end = await openBrowser(target).open(authorizationUrl(target, client, { resource }))
    t.ok(isAt(end, LOOPBACK_URI))
    t.equal(end.url.searchParams.get('error'), 'invalid_target', JSON.stringify(resource))
    t.equal((await redeem(target, client, code, { resource })).error, 'invalid_target', 'nor for a code')
    t.equal(
      (await refresh(target, client, refreshToken, { resource })).error,
      'invalid_target',
      'nor for a refresh token'
    )
  }
  const two = authorizationUrl(target, client)
  two.searchParams.append('resource', 'https://other.example/mcp')
  t.equal((await openBrowser(target).open(two)).status, 400, 'nor for two')
  t.equal(
    (await redeem(target, client, code, { resource: `${target.url}/sse` })).error,
    'invalid_target',
    'nor for another endpoint than was authorized'
  )
  const { accessToken } = parseTokens(await redeem(target, client, code, { resource: `${target.url}/mcp/` }))
  t.ok(await isGood(target, accessToken), 'a slash more is no other resource')
})

t.test('a token for another server is refused, though its record is in our store', async t => {
  // two servers on one store, as on one Redis
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const there = await embed(t, { stores })
  const here = await embed(t, { stores, publicUrl: 'http://localhost:5051' }, there.upstream)
  const client = await register(there)
  const tokens = await newTokens(there, client)
  t.ok(await isGood(there, tokens.accessToken))
  const answer = await callMcp(here, bearer(tokens.accessToken))
  t.equal(answer.status, 401)
  t.match(answer.headers.get('www-authenticate'), /error="invalid_token"/)
  t.notOk(await isGood(here, tokens.accessToken), 'not the second time either')
  t.ok(await isGood(there, tokens.accessToken), 'there it is still good')

  const refreshed = await refresh(here, client, tokens.refreshToken)
  t.notOk(
    refreshed.status === 200 && await isGood(here, parseTokens(refreshed).accessToken),
    'a refresh here does not make it one for here'
  )
  await revoke(here, client, tokens.refreshToken)
})
