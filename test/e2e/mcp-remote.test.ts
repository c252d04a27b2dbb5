import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import t from 'tap'
import { Browser, logIn } from '../support/browser.js'
import { root } from '../support/root.js'
import { startService } from '../support/service.js'

const MCP_REMOTE = resolve(root, 'node_modules/mcp-remote/dist/proxy.js')

for (const strategy of ['http-first', 'sse-only']) {
  t.test(`mcp-remote logs in and calls a tool (${strategy})`, async t => {
    const service = await startService(t)
    const url = `${service.url}/${strategy === 'sse-only' ? 'sse' : 'mcp'}`
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [MCP_REMOTE, url, '--transport', strategy],
      stderr: 'pipe',
      // an empty PATH: nothing to open a browser with
      env: { ...getDefaultEnvironment(), PATH: '/nonexistent', MCP_REMOTE_CONFIG_DIR: t.testdir() }
    })
    const client = new Client({ name: 'e2e', version: '1.0.0' })
    t.teardown(() => client.close())
    const { stderr } = transport
    if (!(stderr instanceof Readable)) throw new Error('mcp-remote has no stderr')
    const lines = createInterface({ input: stderr })
    const authorizationUrl = new Promise<string>(resolve => lines.on('line', line => {
      const url = /https?:\S+\/authorize\?\S+/.exec(line)?.[0]
      if (url !== undefined) resolve(url)
    }))
    const ended = once(lines, 'close').then(() => { throw new Error('mcp-remote ended before it asked to log in') })

    const connected = client.connect(transport)
    const page = await logIn(new Browser(), await Promise.race([authorizationUrl, ended]))
    t.equal(page.status, 200, 'mcp-remote gets the code')
    await connected
    t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), {
      content: [{ type: 'text', text: '3' }]
    })
  })
}
