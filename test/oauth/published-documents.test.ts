import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { DOCUMENTS } from '../e2e/client-list.js'
import { listenFor } from '../support/service.js'
import { asserted, newKey, sign } from '../support/client-keys.js'
import { parseObject, textAt, valueAt } from '../support/json.js'
import { isGood, newCode, parseTokens, redeem, refresh, type Parameters } from '../support/oauth-flow.js'
import { embed } from '../support/target.js'

/*
 * Client ID metadata documents as assistants publish them: test/oauth/documents says as of when, by public reports, and
 * which redirect URIs they use. Only the hosts of the document and of its keys are others here.
 */

const key = await newKey('RS256', 'cimd-20260428030119')

for (const file of await readdir(DOCUMENTS)) {
  const read: unknown = JSON.parse(await readFile(new URL(file, DOCUMENTS), 'utf8'))
  const published = new URL(textAt(read, 'published'))
  const document = parseObject(JSON.stringify(valueAt(read, 'document')))
  const requests = valueAt(read, 'requests')
  const methods = [document.token_endpoint_auth_method, document.token_endpoint_auth_methods_supported].flat()
  for (const signs of [true, false].filter(signs => methods.includes(signs ? 'private_key_jwt' : 'none'))) {
    for (const redirectUri of Array.isArray(requests) ? requests.map(String) : []) {
      t.test(`${file} of ${textAt(read, 'asOf')}, ${redirectUri}${signs ? ', with an assertion' : ''}`, async t => {
        const port = await listenFor(t, (request, response) => {
          const isKeys = request.url?.endsWith('/jwks.json') === true
          const served = {
            ...document,
            client_id: clientId,
            ...document.jwks_uri !== undefined && { jwks_uri: `${origin}/oauth/jwks.json` }
          }
          response.writeHead(200, { 'content-type': 'application/json' })
            .end(JSON.stringify(isKeys ? { keys: [key.jwk] } : served))
        })
        const origin = `http://127.0.0.1:${port}`
        const clientId = origin + published.pathname
        const target = await embed(t, { allowLoopbackClients: true })
        const client = { clientId, redirectUri }
        const authentication = async (): Promise<Parameters> =>
          signs ? asserted(await sign(target, clientId, key)) : {}
        const code = await newCode(target, client)
        const tokens = parseTokens(await redeem(target, client, code, await authentication()))
        t.ok(await isGood(target, tokens.accessToken))
        t.equal((await refresh(target, client, tokens.refreshToken, await authentication())).status, 200)
      })
    }
  }
}
