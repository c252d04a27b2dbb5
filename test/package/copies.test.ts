import { join } from 'node:path'
import t from 'tap'
import { parseObject } from '../support/json.js'
import { compile, installInto, makeFolder, pack, run } from './project.js'

/*
 * An app whose SDKs are not the copies that this package has: another version in a monorepo, or CommonJS, for which
 * both SDKs have classes of their own.
 */
const project = join(makeFolder(t), 'project')
await installInto(project, await pack(), {
  sources: 'copies',
  copies: ['@modelcontextprotocol/sdk', '@modelcontextprotocol/server']
})

async function runProgram (name: string): Promise<Array<Record<string, unknown>>> {
  const { stdout } = await run(process.execPath, [name], { cwd: project })
  return stdout.trim().split('\n').map(line => parseObject(line))
}

t.test('servers of other copies of the SDKs type-check', async t => {
  t.equal(compile(project), '')
})

t.test('an ES module: each server is served in both eras, one of SDK 2.x natively', async t => {
  const none = { revision: /not found/i, forecast: /not found/i }
  t.match(await runProgram('esm.mjs'), [
    { name: 'McpServer of SDK 1.x', protocolVersion: '2025-11-25', revision: '2025-11-25', forecast: /not found/ },
    { name: 'McpServer of SDK 1.x', protocolVersion: '2026-07-28', revision: 'bridged', forecast: /not found/ },
    { name: 'Server of SDK 1.x', protocolVersion: '2025-11-25', ...none },
    { name: 'Server of SDK 1.x', protocolVersion: '2026-07-28', ...none },
    { name: 'McpServer of SDK 2.x', protocolVersion: '2025-11-25', revision: '2025-11-25', forecast: 'served' },
    // the SDK's own handler checks the header, which this client does not send
    { name: 'McpServer of SDK 2.x', protocolVersion: '2026-07-28', revision: '2026-07-28', forecast: /header/ },
    { name: 'Server of SDK 2.x', protocolVersion: '2025-11-25', ...none },
    { name: 'Server of SDK 2.x', protocolVersion: '2026-07-28', ...none }
  ])
})

t.test('CommonJS: the same by require()', async t => {
  t.match(await runProgram('commonjs.cjs'), [
    { name: 'McpServer of SDK 1.x', protocolVersion: '2025-11-25', revision: '2025-11-25' },
    { name: 'McpServer of SDK 1.x', protocolVersion: '2026-07-28', revision: 'bridged' },
    { name: 'McpServer of SDK 2.x', protocolVersion: '2025-11-25', revision: '2025-11-25' },
    { name: 'McpServer of SDK 2.x', protocolVersion: '2026-07-28', revision: '2026-07-28' }
  ])
})
