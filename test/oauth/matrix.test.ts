import { once } from 'node:events'
import { createServer } from 'node:http'
import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Configuration } from 'oidc-provider'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { addressOf } from '../support/address-of.js'
import { createServer as hostedServer } from '../support/sample-server.js'
import { Person } from '../support/person.js'
import { freePort } from '../support/free-port.js'
import { startService, type Service } from '../support/service.js'

const clientInfo = { name: 'test', version: '1.0.0' }
const add = { name: 'add', arguments: { l: 1, r: 2 } }

const features = { devInteractions: { enabled: true }, registration: { enabled: true }, revocation: { enabled: true } }
const opaqueTokens: Configuration = { features }
const jwtTokens: Configuration = {
  features: {
    ...features,
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:example:api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: '',
        audience: 'urn:example:api',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } }
      })
    }
  }
}

/** A site that serves a client ID metadata document. @returns its URL: the client id */
async function startClientSite (t: Test): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({
      client_id: url,
      client_name: 'Document client',
      redirect_uris: ['http://localhost:3334/callback'],
      token_endpoint_auth_method: 'none'
    }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = addressOf(server)
  const url = `http://localhost:${address.port}/client.json`
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return url
}

async function startMode (
  t: Test,
  mode: 'dynamic' | 'static',
  configuration: Configuration,
  createServer: CreateServer
): Promise<Service> {
  const port = await freePort()
  if (mode === 'dynamic') return await startService(t, { PORT: String(port) }, configuration, { createServer })
  const client = {
    client_id: 'us',
    client_secret: 'our-own-secret',
    redirect_uris: [`http://localhost:${port}/oauth/callback`],
    grant_types: ['authorization_code', 'refresh_token']
  }
  return await startService(t, { PORT: String(port), OAUTH_CLIENT_ID: 'us', OAUTH_CLIENT_SECRET: 'our-own-secret' }, {
    ...configuration,
    clients: [client]
  }, { createServer })
}

async function withSdk1 (t: Test, service: Service, person: Person) {
  const url = new URL(`${service.url}/mcp`)
  const first = new StreamableHTTPClientTransport(url, { authProvider: person })
  await t.rejects(new Client(clientInfo).connect(first), /Unauthorized/)
  await first.finishAuth((await person.logIn()).get('code') ?? '')
  const client = new Client(clientInfo)
  await client.connect(new StreamableHTTPClientTransport(url, { authProvider: person }))
  t.match(await client.callTool(add), { content: [{ text: '3' }] })
  t.match(
    JSON.stringify(await client.callTool({ name: 'whoami', arguments: {} })),
    new RegExp(person.name),
    'the person is known'
  )
  await client.close()
}

async function withSdk2 (t: Test, service: Service, person: Person) {
  const url = new URL(`${service.url}/mcp`)
  const first = new StreamableHTTPClientTransport2(url, { authProvider: person })
  await t.rejects(new Client2(clientInfo).connect(first), /Unauthorized/)
  await first.finishAuth(await person.logIn())
  const client = new Client2(clientInfo)
  await client.connect(new StreamableHTTPClientTransport2(url, { authProvider: person }))
  t.match(await client.callTool(add), { content: [{ text: '3' }] })
  await client.close()
}

for (const [format, configuration] of [['opaque', opaqueTokens], ['JWT', jwtTokens]] as const) {
  for (const mode of ['dynamic', 'static'] as const) {
    t.test(`upstream with ${format} access tokens, ${mode} mode`, async t => {
      const tokens = new Set<string | undefined>()
      const service = await startMode(t, mode, configuration, async context => {
        tokens.add(await context.getUpstreamAccessToken())
        return await hostedServer(context)
      })
      const documentClient = await startClientSite(t)
      for (const [sdk, run] of [['1.x', withSdk1], ['2.x', withSdk2]] as const) {
        await t.test(`a registered client of SDK ${sdk}`, t => run(t, service, new Person('alice')))
        await t.test(`a client of SDK ${sdk} with a metadata document`, async t => {
          const person = new Person('bob')
          person.saveClientInformation({ client_id: documentClient })
          await run(t, service, person)
          t.equal(person.authorizationUrl?.searchParams.get('client_id'), documentClient)
        })
      }
      t.ok(
        tokens.size >= 4 && [...tokens].every(token => token?.split('.').length === (format === 'JWT' ? 3 : 1)),
        `the upstream's tokens are ${format}`
      )
    })
  }
}
