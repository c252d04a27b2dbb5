import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realServers, type RealServer } from '../hosted/real-servers.js'
import { runEverything } from '../hosted/run-everything.js'
import { useEverything } from '../hosted/uses.js'
import { freePort } from '../support/free-port.js'
import { runnable } from '../support/root.js'
import { startProcess } from './service-process.js'
import type { Target, Targets } from './targets.js'

/** Servers that others have made, hosted by `fastify-mcp-oauth serve` with the demo login. */
export const hostedTargets: Targets = {
  ...Object.fromEntries(Object.entries(realServers).map(([name, server]) => [
    `stdio-${name}`,
    async () => await serveProgram(server)
  ])),
  remote: async () => await serveRemote('streamableHttp'),
  'remote-sse': async () => await serveRemote('sse')
}

/** A program, as its command line says it. */
async function serveProgram ({ options, use, lacks }: RealServer): Promise<Target> {
  if (lacks !== undefined) throw new Error(lacks)
  const folder = mkdtempSync(join(tmpdir(), 'mcp-hosted-'))
  const { command, args = [], cwd } = options(folder)
  const { url, stop } = await serve([
    '--stdio',
    [command, ...args].join(' '),
    ...cwd === undefined ? [] : ['--cwd', cwd]
  ])
  return {
    url,
    use,
    stop: async () => {
      await stop()
      rmSync(folder, { recursive: true })
    }
  }
}

async function serveRemote (transport: 'streamableHttp' | 'sse'): Promise<Target> {
  const remote = await runEverything(transport)
  const { url, stop } = await serve(['--url', remote.url])
  return {
    url,
    use: useEverything,
    stop: async () => {
      await stop()
      await remote.stop()
    }
  }
}

async function serve (args: readonly string[]) {
  const port = await freePort()
  const command = [process.execPath, ...runnable('src/cli'), 'serve', '--port', String(port), ...args]
  return await startProcess(`http://localhost:${port}`, command, { DEMO_UPSTREAM_PORT: String(await freePort()) })
}
