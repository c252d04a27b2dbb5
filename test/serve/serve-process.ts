import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { runnable } from '../support/root.js'

export interface RunningCommand {
  /** All lines that it has printed. */
  output: string[]
  /** The exit code, or the signal that ended it. */
  exited: Promise<number | string>
  /** The first line of the output that matches, now or later. */
  line (pattern: RegExp): Promise<string>
  kill (signal: NodeJS.Signals): void
}

export interface CommandOptions {
  cwd: string
  env?: NodeJS.ProcessEnv
}

/** Runs the command line of a checkout as a process; ends with the test. */
export function runCommand (t: Test, args: readonly string[], { cwd, env = {} }: CommandOptions): RunningCommand {
  const child = spawn(process.execPath, [...runnable('src/cli'), ...args], {
    cwd,
    env: { PATH: process.env.PATH, MAX_EVENT_LOOP_DELAY_MS: '0', CLIENT_METADATA_DOCUMENTS: 'off', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const output: string[] = []
  const waiting = new Set<(line: string) => void>()
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', line => {
      output.push(line)
      for (const listener of waiting) listener(line)
    })
  }
  const exited = once(child, 'close').then(([code, signal]: unknown[]) =>
    typeof code === 'number' ? code : String(signal)
  )
  return {
    output,
    exited,
    kill: signal => { child.kill(signal) },
    line: async pattern => {
      const seen = output.find(line => pattern.test(line))
      if (seen !== undefined) return seen
      const found = new Promise<string>(resolve => waiting.add(line => { if (pattern.test(line)) resolve(line) }))
      return await Promise.race([found, exited.then(() => { throw new Error(`ended: ${output.join('\n')}`) })])
    }
  }
}

/** Serves, with the demo login, and waits until it listens. */
export async function serve (
  t: Test,
  args: readonly string[],
  options: CommandOptions
): Promise<RunningCommand & { url: string, upstream: { issuer: string } }> {
  const [port, upstreamPort] = [await freePort(), await freePort()]
  const running = runCommand(t, ['serve', '--port', String(port), ...args], {
    ...options,
    env: { DEMO_UPSTREAM_PORT: String(upstreamPort), ...options.env }
  })
  await running.line(/MCP server/)
  return { ...running, url: `http://localhost:${port}`, upstream: { issuer: `http://localhost:${upstreamPort}` } }
}
