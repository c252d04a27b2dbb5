import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { newTokens, register } from '../support/oauth-flow.js'
import { root, runnable } from '../support/root.js'
import { freePort } from '../support/free-port.js'

/** The service as a process of its own, with its demo upstream. */
export interface ServiceProcess {
  url: string
  pid: number
  /** All lines that it has printed. */
  output: string[]
  /** Exit code, or the signal that ended it. */
  exited: Promise<number | string>
  /** The first line of the output that matches, now or later. */
  line (pattern: RegExp): Promise<string>
  /** Waits until so many lines of the output match. */
  lines (pattern: RegExp, count: number): Promise<void>
  kill (signal: NodeJS.Signals): void
  /** A new login. @returns the access token */
  logIn (): Promise<string>
}

/** Runs a file of the project as a process with `environment`, and waits for nothing. */
export function runFile (t: Test, file: string, environment: NodeJS.ProcessEnv): Omit<ServiceProcess, 'url' | 'logIn'> {
  const child = spawn(process.execPath, runnable(file), {
    cwd: root,
    env: { PATH: process.env.PATH, MAX_EVENT_LOOP_DELAY_MS: '0', DATA_DIR: 'memory', ...environment },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const output: string[] = []
  const waiting = new Set<(line: string) => void>()
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', line => {
      // the demo upstream's, about this Node.js and about itself
      if (line.startsWith('oidc-provider WARNING')) return
      output.push(line)
      for (const listener of waiting) listener(line)
    })
  }
  const exited = once(child, 'close').then(([code, signal]: unknown[]) =>
    typeof code === 'number' ? code : String(signal)
  )
  return {
    pid: child.pid ?? 0,
    output,
    exited,
    line: async pattern => {
      const seen = output.find(line => pattern.test(line))
      if (seen !== undefined) return seen
      const found = new Promise<string>(resolve => waiting.add(line => { if (pattern.test(line)) resolve(line) }))
      return await Promise.race([found, exited.then(() => { throw new Error(`ended: ${output.join('\n')}`) })])
    },
    lines: async (pattern, count) => {
      await new Promise<void>(resolve => {
        const look = () => { if (output.filter(line => pattern.test(line)).length >= count) resolve() }
        waiting.add(look)
        look()
      })
    },
    kill: signal => { child.kill(signal) }
  }
}

/** Runs the service with the fixture's server, and waits until it listens. */
export async function runService (t: Test, environment: NodeJS.ProcessEnv = {}): Promise<ServiceProcess> {
  const [port, upstreamPort] = [await freePort(), await freePort()]
  const running = runFile(t, 'test/operations/fixture-process', {
    PORT: String(port),
    DEMO_UPSTREAM_PORT: String(upstreamPort),
    ...environment
  })
  await running.line(/MCP server: /)
  const target = { url: `http://localhost:${port}`, upstream: { issuer: `http://localhost:${upstreamPort}` }, fetch }
  return {
    ...running,
    url: target.url,
    logIn: async () => {
      return (await newTokens(target, await register(target))).accessToken
    }
  }
}
