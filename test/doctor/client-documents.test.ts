import t from 'tap'
import { examineClientDocuments } from '../../src/doctor/client-documents.js'
import { Findings } from '../../src/doctor/findings.js'
import { keyHost } from '../support/client-keys.js'
import { parseObject } from '../support/json.js'
import { startService } from '../support/service.js'

const UNREACHABLE = { clientId: 'http://127.0.0.1:9/client.json', redirectUri: 'https://app.example/callback' }

for (const value of ['on', 'off']) {
  t.test(`CLIENT_METADATA_DOCUMENTS=${value}`, async t => {
    const { url } = await startService(t, { CLIENT_METADATA_DOCUMENTS: value })
    const { client } = await keyHost(t, { token_endpoint_auth_method: 'none' })
    const metadata = parseObject(await (await fetch(`${url}/.well-known/oauth-authorization-server`)).text())
    const examine = async (given: typeof client, mcpUrl = `${url}/mcp`) => {
      const findings = new Findings()
      await examineClientDocuments(metadata, new URL(mcpUrl), findings, given)
      return findings.all
    }
    if (value === 'off') {
      t.match(await examine(client), [{ level: 'ok', says: /reads no metadata documents/ }])
      return
    }
    t.match(await examine(client), [{ level: 'ok', says: /reads metadata documents of clients/ }])
    const [finding] = await examine(UNREACHABLE)
    t.match(finding, { level: 'ok', says: /cannot read.*HTTPS_PROXY.*CLIENT_METADATA_DOCUMENTS=off/ }, 'on a laptop')
    t.same(await examine(UNREACHABLE, 'https://mcp.example.com/mcp'), [], 'another authorization server')
  })
}
