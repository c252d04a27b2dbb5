import Fastify from 'fastify'
import t from 'tap'
import { mcpDiscovery } from '../../src/service/mcp-service.js'
import { valueAt } from '../support/json.js'
import { keyHost } from '../support/client-keys.js'
import { ask, authorizationUrl, newTokens, redeem, register, WEB_URI } from '../support/oauth-flow.js'
import { embed, startTarget } from '../support/target.js'

/*
 * A service without a way to the internet: clients must not be led to name a document that it cannot read.
 */

const ADMIN_TOKEN = 'the-token-of-the-operators'
const WELL_KNOWN = ['oauth-authorization-server', 'openid-configuration', 'oauth-authorization-server/mcp']

for (const value of ['on', 'off']) {
  t.test(`CLIENT_METADATA_DOCUMENTS=${value}`, async t => {
    const target = await startTarget(t, { CLIENT_METADATA_DOCUMENTS: value, ADMIN_TOKEN })
    for (const name of WELL_KNOWN) {
      const document: unknown = (await target.app.inject({ url: `/.well-known/${name}` })).json()
      t.equal(valueAt(document, 'client_id_metadata_document_supported'), value === 'on' || undefined, name)
    }
    const { client, asked } = await keyHost(t, { token_endpoint_auth_method: 'none' })
    const page = await ask(target, authorizationUrl(target, client))
    const atToken = await redeem(target, client, 'x')
    t.ok((await newTokens(target, await register(target, WEB_URI))).accessToken, 'clients register')
    if (value === 'on') {
      t.strictSame([page.status, asked.document], [200, 1])
      return
    }
    t.strictSame([page.status, asked.document], [400, 0])
    t.match(page.text, /does not read client metadata documents.*remove this server and add it again/s)
    t.strictSame([atToken.status, atToken.error], [401, 'invalid_client'])
    t.match(atToken.member('error_description'), /Register the client instead/)
  })
}

t.test('nor are they advertised at the root of an app that has the service under a prefix', async t => {
  const options = { publicUrl: 'https://example.com', clientMetadataDocuments: false }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
  for (const name of ['oauth-authorization-server', 'oauth-authorization-server/ai', 'openid-configuration/ai']) {
    const document: unknown = (await app.inject({ url: `/.well-known/${name}` })).json()
    t.equal(valueAt(document, 'issuer'), 'https://example.com/ai', name)
    t.equal(valueAt(document, 'client_id_metadata_document_supported'), undefined, name)
  }
})

t.test('CLIENT_METADATA_DOCUMENTS takes on and off', async t => {
  await t.rejects(
    startTarget(t, { CLIENT_METADATA_DOCUMENTS: 'false' }),
    /^CLIENT_METADATA_DOCUMENTS is "false"; it takes on, off\.$/
  )
})

t.test('a client that names a URL is known where the operator has named it', async t => {
  const clientId = 'https://chatgpt.com/oauth/codex/client.json'
  const target = await startTarget(t, {
    CLIENT_METADATA_DOCUMENTS: 'off',
    PREREGISTERED_CLIENTS: JSON.stringify([{ clientId, redirectUris: [WEB_URI] }])
  })
  t.ok((await newTokens(target, { clientId, redirectUri: WEB_URI })).accessToken)
})

/** How a host cannot be used, from where the service stands. */
const UNREACHABLE: Record<string, string> = {
  'a name that does not resolve': 'https://no-such-host.invalid/client.json',
  'a port where nobody listens': 'http://127.0.0.1:9/client.json'
}

for (const [what, clientId] of Object.entries(UNREACHABLE)) {
  t.test(`the page and the report say why, and what to do: ${what}`, async t => {
    const target = await embed(t, { allowLoopbackClients: true, adminToken: ADMIN_TOKEN })
    const page = await ask(target, authorizationUrl(target, { clientId, redirectUri: WEB_URI }))
    t.ok(page.status === 400 || page.status === 503)
    t.match(page.text, /could not read it.*HTTPS_PROXY.*CLIENT_METADATA_DOCUMENTS.{1,6}off/s)
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
    const report: unknown = (await target.app.inject({ url: '/admin/attempts', headers })).json()
    t.match(
      String(valueAt(report, 'attempts', 0, 'verdict', 'advice')),
      /reach the internet \(DNS, https\)\? Behind a proxy, set HTTPS_PROXY.*set CLIENT_METADATA_DOCUMENTS=off/
    )
  })
}
