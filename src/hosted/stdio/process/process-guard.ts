import { spawn, type ChildProcess } from 'node:child_process'
import type { Log } from '../../../log.js'
import { inheritedEnvironment } from './inherited-environment.js'

/*
 * What this is: a small process beside ours. It knows the process groups of the hosted servers, and ends them when its
 * standard input ends, which is when our process does: also by `kill -9`, after which our process can do nothing. A
 * server that reads its own standard input ends by itself then; this is for those that do not, and for what they have
 * started.
 * What it is not: a supervisor. It starts nothing again.
 * Delete it when Node can ask the kernel for that (PR_SET_PDEATHSIG, and for a whole group).
 */
const GRACE_MS = 2000
const PROGRAM = `
  const groups = new Set()
  let rest = ''
  const end = signal => {
    for (const group of groups) try { process.kill(-group, signal) } catch { groups.delete(group) }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
  const { stdin } = process
  stdin.on('error', () => {})
  stdin.setEncoding('latin1').on('data', text => {
    const lines = (rest + text).split('\\n')
    rest = lines.pop()
    for (const line of lines) groups[line[0] === '+' ? 'add' : 'delete'](Number(line.slice(1)))
  })
  stdin.on('close', () => {
    end('SIGTERM')
    if (groups.size === 0) process.exit()
    setTimeout(() => { end('SIGKILL'); process.exit() }, ${GRACE_MS})
  })
`

/** Ends process groups if this process dies. */
class ProcessGuard {
  readonly #groups = new Set<number>()
  #process: ChildProcess | undefined

  /** Begins to guard a process group. */
  add (group: number, log: Log): void {
    this.#groups.add(group)
    if (this.#process === undefined) this.#begin(log)
    else this.#tell(`+${group}`)
  }

  /** The group has ended: its number may be another's now. */
  remove (group: number): void {
    if (!this.#groups.delete(group)) return
    this.#tell(`-${group}`)
    if (this.#groups.size > 0) return
    this.#process?.stdin?.end()
    this.#process = undefined
  }

  #begin (log: Log): void {
    // in a session of its own: what a terminal sends to us is not for it
    const guard = spawn(process.execPath, ['--max-old-space-size=32', '--eval', PROGRAM], {
      detached: true,
      env: inheritedEnvironment(),
      stdio: ['pipe', 'ignore', 'ignore']
    })
    this.#process = guard
    guard.unref()
    guard.stdin.on('error', () => {})
    guard.on('error', err => {
      log.warn({ err }, 'hosted servers are not guarded: they may outlive this process if it is killed')
    })
    guard.on('exit', () => {
      if (this.#process !== guard) return
      this.#process = undefined
      if (this.#groups.size > 0) this.#begin(log)
    })
    for (const group of this.#groups) this.#tell(`+${group}`)
  }

  #tell (line: string): void {
    this.#process?.stdin?.write(`${line}\n`)
  }
}

/** That of this process. */
export const processGuard = new ProcessGuard()
