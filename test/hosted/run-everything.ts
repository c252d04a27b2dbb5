import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { freePort } from '../support/free-port.js'
import { root } from '../support/root.js'

const PROGRAM = join(root, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js')

/** Runs server-everything over HTTP. @returns its URL, and what ends it */
export async function runEverything (
  transport: 'streamableHttp' | 'sse'
): Promise<{ url: string, stop: () => Promise<void> }> {
  const port = await freePort()
  const child = spawn(process.execPath, [PROGRAM, transport], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe']
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => { said += chunk.toString() })
  while (!said.includes(`port ${port}`)) await once(child.stderr, 'data')
  const exited = once(child, 'exit')
  return {
    url: `http://127.0.0.1:${port}/${transport === 'sse' ? 'sse' : 'mcp'}`,
    async stop () {
      child.kill('SIGKILL')
      await exited
    }
  }
}
