import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
import { startDemoLogin, type DemoLoginOptions } from 'fastify-mcp-oauth/demo'
import { freePort } from '../support/free-port.js'
import { Person } from '../support/person.js'
import { createServer } from '../support/sample-server.js'

/** An app around the service, with a demo login. */
async function start (t: Test, options?: DemoLoginOptions) {
  const login = await startDemoLogin(options)
  const port = await freePort()
  const url = `http://localhost:${port}`
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const app = Fastify({ forceCloseConnections: true })
  app.addHook('onClose', async () => {
    await login.close()
    await stores.close()
  })
  t.teardown(() => app.close())
  await app.register(mcpService, { publicUrl: url, createServer, stores, upstream: login.options })
  await app.listen({ port, host: '127.0.0.1' })
  return { app, login, url }
}

t.test('people log in to an app by the demo login', async t => {
  const { login, url } = await start(t)
  for (const name of ['alice', 'bob']) {
    const person = new Person(name)
    const transport = () => new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: person })
    const first = transport()
    await t.rejects(new Client({ name: 'demo', version: '1' }).connect(first), /Unauthorized/)
    await first.finishAuth((await person.logIn()).get('code') ?? '')
    const client = new Client({ name: 'demo', version: '1' })
    await client.connect(transport())
    const { content } = await client.callTool({ name: 'whoami', arguments: {} })
    t.match(JSON.stringify(content), new RegExp(`${name}.*${login.issuer}`))
    await client.close()
  }
})

t.test('it keeps its issuer and its keys in a file', async t => {
  const options = { port: await freePort(), file: `${t.testdir()}/login.db` }
  const keys: unknown[] = []
  for (let start = 1; start <= 2; start++) {
    const login = await startDemoLogin(options)
    t.equal(login.issuer, `http://localhost:${options.port}`)
    keys.push(await (await fetch(`${login.issuer}/jwks`)).json())
    await login.close()
  }
  t.same(keys[0], keys[1])
})

t.test('it does not start in production', async t => {
  t.intercept(process, 'env', { value: { ...process.env, NODE_ENV: 'production' } })
  await t.rejects(startDemoLogin(), { name: 'ConfigError', message: /lets everybody in/ })
})
