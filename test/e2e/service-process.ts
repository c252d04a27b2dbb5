import { spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { root } from '../support/root.js'

const START_MS = 180_000

/** The service as a process of its own. */
export interface ServiceProcess {
  /** Its URL, which `/mcp` follows. */
  url: string
  /** Sends SIGTERM. @returns exit code, or the signal that ended it */
  stop (): Promise<number | string>
  /** All it has printed. */
  output (): string
}

/** Starts a process, and waits until it challenges clients at `/mcp`. */
export async function startProcess (
  url: string,
  [command = '', ...args]: readonly string[],
  environment: NodeJS.ProcessEnv,
  cwd = root
): Promise<ServiceProcess> {
  const { PATH, HOME } = process.env
  // a group of its own: `npm start` has children
  const child = spawn(command, args, {
    cwd,
    env: { PATH, HOME, DATA_DIR: 'memory', ...environment },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => output.push(String(chunk)))
  const exited = new Promise<number | string>(resolve =>
    child.once('exit', (code, signal) => {
      resolve(code ?? String(signal))
    })
  )
  const signalGroup = (signal: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, signal)
    }
  }
  const kill = () => {
    signalGroup('SIGKILL')
  }
  process.once('exit', kill)

  const deadline = Date.now() + START_MS
  for (;;) {
    if (child.exitCode !== null || Date.now() > deadline) {
      kill()
      throw new Error(`${command} ${args.join(' ')} does not serve ${url}/mcp: ${output.join('')}`)
    }
    const response = await fetch(`${url}/mcp`, { method: 'POST' }).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.status === 401) break
    await delay(50)
  }
  return {
    url,
    output: () => output.join(''),
    stop: async () => {
      signalGroup('SIGTERM')
      const end = await exited
      process.off('exit', kill)
      return end
    }
  }
}
