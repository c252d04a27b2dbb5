import t from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import { ConfigError } from '../../../src/errors.js'

const url = 'http://localhost:8000/mcp'
const tokenExchange = { tokenEndpoint: 'https://login.example.com/token', clientId: 'gateway', clientSecret: 'hidden' }

/** Options that cannot be used, as JavaScript may pass them, and what the error says. */
const refused: Record<string, [options: Record<string, unknown>, says: RegExp]> = {
  'no URL': [{}, /url is missing/],
  'a URL of another scheme': [{ url: 'ftp://example.com/' }, /url is a text of .*http or https URL/],
  'a URL with a password': [{ url: 'https://alice:hidden@example.com/mcp' }, /url/],
  'an unknown option': [{ url, header: {} }, /header is not an option; .*headers/],
  'a header that is a list': [{ url, headers: { 'x-key': ['hidden'] } }, /headers/],
  'a header with a line end': [{ url, headers: { 'x-key': 'hidden\r\nx-other: 1' } }, /headers/],
  'a header of the protocol': [{ url, headers: { 'Mcp-Session-Id': 'hidden' } }, /headers/],
  'an unknown transport': [{ url, transport: 'stdio' }, /transport is "stdio"/],
  'an unknown auth': [{ url, auth: 'client-token' }, /auth is "client-token".*upstream-token/],
  'an exchange without an endpoint': [
    { url, auth: { tokenExchange: { clientId: 'gateway', clientSecret: 'hidden' } } },
    /auth\.tokenExchange\.tokenEndpoint is missing/
  ],
  'an exchange by plain http': [
    { url, auth: { tokenExchange: { ...tokenExchange, tokenEndpoint: 'http://login.example.com/token' } } },
    /auth\.tokenExchange\.tokenEndpoint/
  ],
  'two authorizations': [{ url, auth: 'upstream-token', headers: { Authorization: 'hidden' } }, /only one of them/],
  'a limit of nothing': [{ url, limits: { maxMessageBytes: 0 } }, /limits\.maxMessageBytes is 0/]
}

for (const [what, [options, says]] of Object.entries(refused)) {
  t.test(what, async t => {
    const create = () => { Reflect.apply(remoteServer, undefined, [options]) }
    t.throws(create, { message: says })
    t.throws(create, ConfigError)
    try {
      create()
    } catch (error) {
      t.notMatch(String(error), /hidden/, 'nothing secret is shown')
    }
  })
}

t.test('options that can be used', async t => {
  t.doesNotThrow(() => { remoteServer({ url }) })
  t.doesNotThrow(() => {
    remoteServer({ url: 'https://10.0.0.7:8443/mcp?tenant=1', transport: 'sse', auth: { tokenExchange } })
  })
})
