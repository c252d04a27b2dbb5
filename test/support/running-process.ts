import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'

/** A process of the project, and what it prints. */
export interface RunningProcess {
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
}

/** Runs Node.js with arguments, and waits for nothing; it ends with the test. */
export function runNode (
  t: Test,
  args: readonly string[],
  { cwd, env }: { cwd: string, env: NodeJS.ProcessEnv }
): RunningProcess {
  const child = spawn(process.execPath, args, {
    cwd,
    env: { PATH: process.env.PATH, MAX_EVENT_LOOP_DELAY_MS: '0', ...env },
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
