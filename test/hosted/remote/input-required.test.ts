import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import t from 'tap'
import { modernRequest } from '../../../src/testing/modern-request.js'
import { EraPlug, eraServer2 } from '../../eras/era-servers.js'
import { parseObject, textAt, valueAt } from '../../support/json.js'
import { startMcp, type McpService } from '../../support/mcp-harness.js'
import { eraPlaces, remotePlaces } from './remote-places.js'

/*
 * What a remote server of 2026-07-28 wants of the client reaches it as that server has said it.
 */
const url = 'remote by Streamable HTTP'
const alone = 'remote by 2026-07-28 alone'

async function ask ({ url }: McpService, capabilities: object, brought: object = {}) {
  const { headers, ...request } = modernRequest(
    1,
    'tools/call',
    { name: 'ask', arguments: { message: 'Which?' }, ...brought },
    { [CLIENT_INFO_META_KEY]: { name: 'raw', version: '1' }, [CLIENT_CAPABILITIES_META_KEY]: capabilities }
  )
  const response = await fetch(`${url}/mcp`, { ...request, headers: { ...headers, authorization: 'Bearer alice' } })
  return { status: response.status, body: parseObject(await response.text()) }
}

for (const [where, host] of Object.entries({ ...remotePlaces, ...eraPlaces })) {
  if (where !== url && where !== alone) continue
  t.test(where, async t => {
    const service = await startMcp(t, { createServer: await host(eraServer2(new EraPlug()), t) })
    await t.test('the name of a question', async t => {
      const { body } = await ask(service, { elicitation: { form: {} } })
      t.match(body.result, { inputRequests: { colour: { method: 'elicitation/create' } } })
      const answered = await ask(service, { elicitation: { form: {} } }, {
        requestState: valueAt(body.result, 'requestState'),
        inputResponses: { colour: { action: 'accept', content: { colour: 'blue' } } }
      })
      t.match(textAt(answered.body.result, 'content', 0, 'text'), /blue/)
    })
    await t.test('what the client cannot do', async t => {
      t.match(await ask(service, {}), { status: 400, body: { error: { code: -32021 } } })
    })
  })
}
