import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { startMcp, type McpService } from '../support/mcp-harness.js'

const clientInfo = { name: 'test', version: '1.0.0' }
const requestInit = { headers: { authorization: 'Bearer alice' } }

const transports = {
  'Streamable HTTP': (service: McpService) =>
    new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { requestInit }),
  'HTTP+SSE': (service: McpService) =>
    new SSEClientTransport(new URL(`${service.url}/sse`), {
      requestInit,
      eventSourceInit: {
        fetch: (url, init) => fetch(url, { ...init, headers: { ...requestInit.headers, accept: 'text/event-stream' } })
      }
    })
}

for (const [name, transportFor] of Object.entries(transports)) {
  t.test(`SDK 1.x client over ${name}`, async t => {
    const service = await startMcp(t)
    const client = new Client(clientInfo)
    await client.connect(transportFor(service))
    await journey(t, client)
    await client.close()
  })
}

async function journey (t: Test, client: Client) {
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ type: 'text', text: '3' }] })
  t.match(
    await client.callTool({ name: 'divide', arguments: { l: 1, r: 0 } }),
    { isError: true },
    'division by zero is an error of the tool'
  )
  t.match(
    await client.callTool({ name: 'divide', arguments: { l: 'one', r: 0 } }),
    { isError: true },
    'and so is bad input'
  )
  const whoami = await client.callTool({ name: 'whoami', arguments: {} })
  t.match(JSON.stringify(whoami.content), /alice.*client-1.*mcp/)
  t.match(await client.readResource({ uri: 'about://server' }), { contents: [{ mimeType: 'text/plain' }] })
  t.match(await client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } }), {
    messages: [{ content: { text: /Ada/ } }]
  })
  t.equal((await client.listTools()).tools.length, 4)

  const progress: number[] = []
  const result = await client.callTool({ name: 'countdown', arguments: { from: 3, intervalMs: 1 } }, undefined, {
    onprogress: update => progress.push(update.progress)
  })
  t.match(result, { content: [{ text: 'Lift-off!' }] })
  t.same(progress, [0, 1, 2])

  const abort = new AbortController()
  const cancelled = client.callTool({ name: 'countdown', arguments: { from: 1000, intervalMs: 1000 } }, undefined, {
    signal: abort.signal, onprogress: () => { abort.abort('enough') }
  })
  await t.rejects(cancelled, /enough/, 'a call can be cancelled')
  t.match(
    await client.callTool({ name: 'add', arguments: { l: 2, r: 2 } }),
    { content: [{ text: '4' }] },
    'and the session goes on'
  )
}

t.test('SDK 2.x client over Streamable HTTP, in its default mode', async t => {
  const service = await startMcp(t)
  const client = new Client2(clientInfo)
  const transport = new StreamableHTTPClientTransport2(new URL(`${service.url}/mcp`), { requestInit })
  await client.connect(transport)
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ type: 'text', text: '3' }] })
  const progress: number[] = []
  await client.callTool({ name: 'countdown', arguments: { from: 3, intervalMs: 1 } }, {
    onprogress: update => progress.push(update.progress)
  })
  t.same(progress, [0, 1, 2])
  await transport.terminateSession()
  await client.close()
})
