import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import t from 'tap'
import { RawClient } from '../support/mcp-harness.js'
import {
  ask, askToRegister, authorizationUrl, LOOPBACK_URI, newCode, newTokens, redeem, refresh, register, revoke
} from '../support/oauth-flow.js'
import { post } from '../support/raw-http.js'
import { runService, type Service } from '../support/service.js'
import { SseClient } from '../support/sse-client.js'

/*
 * AUDIT_REQUIRED and a record that cannot be written, through the front door: nothing runs, and nothing is used up.
 */
const call = (id: number) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'count', arguments: {} } })

async function isReady ({ url }: Service): Promise<boolean> {
  const response = await fetch(`${url}/readyz`)
  await response.text()
  return response.status === 200
}

for (const sessionMode of ['stateful', 'stateless']) {
  t.test(sessionMode, async t => {
    const folder = join(t.testdir({}), 'audit')
    await mkdir(folder)
    let ran = 0
    const createServer = () => {
      const server = new McpServer({ name: 'counting', version: '1' })
      server.registerTool('count', {}, () => ({ content: [{ type: 'text', text: String(++ran) }] }))
      return server
    }
    const service = await runService({
      AUDIT_LOG: `file:${join(folder, 'audit.jsonl')}`,
      AUDIT_REQUIRED: 'true',
      SESSION_MODE: sessionMode
    }, {}, { createServer })
    t.teardown(() => service.close())
    const client = await register(service)
    const { accessToken: token } = await newTokens(service, client)
    const unused = await newTokens(service, client)
    const doomed = await newTokens(service, client)
    const code = await newCode(service, client)

    const calls: Record<string, () => Promise<Response>> = {
      '2026-07-28': () => post(service.url, 'tools/call', { name: 'count', arguments: {} }, { token })
    }
    if (sessionMode === 'stateful') {
      const mcp = await new RawClient(service, token).connect()
      const batching = await new RawClient(service, token).connect('2025-03-26')
      const sse = await (await SseClient.open(t, service, token)).initialize(service)
      Object.assign(calls, {
        '2025-11-25': () => mcp.post(call(1)),
        'a batch': () => batching.post([call(2)]),
        'HTTP+SSE': () => sse.post(service, call(3)),
        initialize: () => new RawClient(service, token).request('initialize', {
          protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'late', version: '1' }
        })
      })
    } else {
      const mcp = new RawClient(service, token)
      calls['2025-11-25'] = () => mcp.post(call(1), { 'mcp-protocol-version': '2025-11-25' })
      calls['a batch'] = () => mcp.post([call(2)], { 'mcp-protocol-version': '2025-03-26' })
    }

    await rm(folder, { recursive: true })
    for (const [name, ask] of Object.entries(calls)) {
      const response = await ask()
      t.match([response.status, response.headers.get('retry-after')], [503, /^\d+$/], name)
      t.match(await response.text(), /cannot write its audit log/, name)
    }
    t.equal(ran, 0, 'no tool has run')
    const answers = {
      code: await redeem(service, client, code),
      refresh: await refresh(service, client, unused.refreshToken),
      registration: await askToRegister(service, { redirect_uris: [LOOPBACK_URI] }),
      login: await ask(service, authorizationUrl(service, client)),
      callback: await ask(service, `${service.url}/oauth/callback?code=x&state=y`)
    }
    for (const [name, { status, headers }] of Object.entries(answers)) {
      t.match([status, headers.get('retry-after')], [503, /^\d+$/], name)
    }
    t.equal((await revoke(service, client, doomed.accessToken)).status, 200, 'what ends access works')
    t.notOk(await isReady(service))

    await mkdir(folder)
    while (!await isReady(service)) await delay(20)
    for (const [name, ask] of Object.entries(calls)) {
      const response = await ask()
      t.equal(response.status, name === 'HTTP+SSE' ? 202 : 200, `${name} works again`)
      await response.text()
    }
    t.ok(ran >= 3)
    t.equal((await redeem(service, client, code)).status, 200, 'the code was not used up')
    t.equal((await refresh(service, client, unused.refreshToken)).status, 200, 'nor was the refresh token')
    t.ok(await newTokens(service, client), 'people can log in')
  })
}
