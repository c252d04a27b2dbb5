import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import type { Log } from '../../../log.js'
import { isTooDeep } from '../../../mcp/wire/json-depth.js'
import { isMessage } from '../../../mcp/wire/messages.js'
import { Diagnostics } from './diagnostics.js'
import { Lines } from './lines.js'
import type { StdioLimits } from '../options/options.js'
import { processGuard } from './process-guard.js'
import { memoryWatch } from './resident-memory.js'

/** A command, complete. */
export interface Command {
  command: string
  args: readonly string[]
  env: Record<string, string>
  cwd: string | undefined
}

export interface ServerProcessEvents {
  onMessage (message: JSONRPCMessage): void
  /** Nothing more comes. `reason` may be shown to callers. `isOurs`: because `end` was called */
  onEnded (reason: string, isOurs: boolean): void
  /** Whose lines name the session that is served. */
  findLog (): Log
}

/** From the end of its input to SIGTERM: a server that reads its input needs no signal. */
const TERM_MS = 500
/** For the rest of its output after it has exited: something else may hold that open. */
const OUTPUT_MS = 500
/** For its end after it has closed its input or output, which is mostly how it ends. */
const CLOSED_MS = 500
const MAX_GARBAGE_LINES = 10
const MAX_SHOWN = 200

/** A process that serves MCP over its standard input and output, in a process group of its own. */
export class ServerProcess {
  readonly #limits: StdioLimits
  readonly #events: ServerProcessEvents
  readonly #child: ChildProcessWithoutNullStreams | undefined
  readonly #lines: Lines
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #whenGone: Promise<void>
  #gone: () => void = () => {}
  #unwatch: (() => void) | undefined
  /** Why it was ended. */
  #reason: string | undefined
  #isOver = false
  #garbageLines = 0

  constructor (command: Command, limits: StdioLimits, events: ServerProcessEvents) {
    this.#limits = limits
    this.#events = events
    this.#whenGone = new Promise(resolve => { this.#gone = resolve })
    this.#lines = new Lines({
      maxLength: limits.maxMessageBytes,
      onLine: line => { this.#receive(line) },
      onTooLong: () => { this.#kill('it sent a message that is too long') }
    })
    this.#child = this.#spawn(command)
  }

  get pid (): number | undefined {
    return this.#child?.pid
  }

  /** @throws {Error} if it is ending, or too much waits for it to read */
  send (message: JSONRPCMessage): void {
    const { maxUnreadBytes } = this.#limits
    const stdin = this.#child?.stdin
    if (stdin === undefined || this.#isOver || this.#reason !== undefined) throw new Error('its process has ended')
    const line = `${JSON.stringify(message)}\n`
    // one message may be as large as it is
    if (stdin.writableLength > 0 && stdin.writableLength + line.length > maxUnreadBytes) {
      throw new Error('it does not read what it is sent')
    }
    stdin.write(line)
  }

  /** Reads no further, or again. */
  setPaused (isPaused: boolean): void {
    if (isPaused) this.#child?.stdout.pause()
    else this.#child?.stdout.resume()
  }

  /** Whether it keeps this process running. */
  setRef (isRef: boolean): void {
    const child = this.#child
    if (child === undefined) return
    for (const part of [child, child.stdin, child.stdout, child.stderr]) setRef(part, isRef)
  }

  /** Ends it, and all that it has started: by the end of its input, then SIGTERM, then SIGKILL. */
  async end (reason: string): Promise<void> {
    if (this.#reason === undefined && !this.#isOver) {
      this.#reason = reason
      // its end is waited for
      this.setRef(true)
      this.#child?.stdin.end()
      // what it still says is read, so that it can end
      this.#child?.stdout.resume()
      this.#after(TERM_MS, () => { this.#signal('SIGTERM') })
      this.#after(TERM_MS + this.#limits.graceSeconds * 1000, () => { this.#signal('SIGKILL') })
    }
    await this.#whenGone
  }

  #kill (reason: string): void {
    if (this.#isOver) return
    this.#events.findLog().warn({ serverPid: this.pid, reason }, 'a hosted server is ended')
    this.#reason = reason
    this.#signal('SIGKILL')
    this.#over(reason, false)
  }

  #spawn ({ command, args, env, cwd }: Command): ChildProcessWithoutNullStreams | undefined {
    let child
    try {
      child = spawn(command, [...args], {
        ...cwd !== undefined && { cwd },
        env,
        shell: false,
        detached: true,
        windowsHide: true,
        stdio: ['pipe', 'pipe', 'pipe']
      })
    } catch (error) {
      queueMicrotask(() => { this.#failed(error) })
      return undefined
    }
    const { pid, stdin, stdout, stderr } = child
    child.on('error', error => { if (pid === undefined) this.#failed(error) })
    stdin.on('error', () => { this.#closed('input') })
    if (pid === undefined) return child
    const log = this.#events.findLog()
    processGuard.add(pid, log)
    const maxBytes = this.#limits.maxMemoryBytes
    this.#unwatch = memoryWatch.add({ pid, maxBytes, onExceeded: () => { this.#kill('it uses too much memory') } }, log)
    const diagnostics = new Diagnostics(pid, () => this.#events.findLog())
    stderr.on('data', (chunk: Buffer) => { diagnostics.push(chunk) }).on('error', () => {})
    stdout.on('data', (chunk: Buffer) => { this.#lines.push(chunk) })
      .on('error', () => {})
      .on('end', () => { this.#closed('output') })
    child.on('exit', (code, signal) => {
      // what it has started ends with it
      this.#signal('SIGKILL')
      processGuard.remove(pid)
      const end = () => {
        diagnostics.finish()
        this.#exited(code, signal)
      }
      this.#after(OUTPUT_MS, end)
      child.once('close', end)
    })
    return child
  }

  /** Nobody can be served by it: what waits for it would wait forever. */
  #closed (what: 'input' | 'output'): void {
    if (this.#isOver || this.#reason !== undefined) return
    this.#after(CLOSED_MS, () => { this.#kill(`it has closed its standard ${what}`) })
  }

  #failed (error: unknown): void {
    this.#events.findLog().error({ err: error }, 'a hosted server could not be started')
    this.#gone()
    this.#over('it could not be started', false)
  }

  #exited (code: number | null, signal: string | null): void {
    this.#gone()
    this.#lines.finish()
    this.#over(`it has ended (${signal === null ? `exit code ${code}` : signal})`, this.#reason !== undefined)
  }

  #over (reason: string, isOurs: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#unwatch?.()
    // SIGKILL has been sent, or is not needed
    for (const timer of this.#timers) clearTimeout(timer)
    this.#child?.stdout.destroy()
    this.#child?.stderr.destroy()
    this.#events.onEnded(this.#reason ?? reason, isOurs)
  }

  #receive (line: string): void {
    if (this.#isOver || line.trim() === '') return
    if (isTooDeep(line)) {
      this.#kill('it sent a message that is nested too deeply')
      return
    }
    const value = parse(line)
    const messages: readonly unknown[] = Array.isArray(value) ? value : [value]
    for (const message of messages) {
      if (!isMessage(message)) this.#ignore(line)
      else {
        try {
          this.#events.onMessage(message)
        } catch (err) {
          this.#events.findLog().warn({ err, serverPid: this.pid }, 'a message of a hosted server cannot be passed on')
        }
      }
    }
  }

  /** Something else than a message: servers print what they should not. */
  #ignore (line: string): void {
    if (this.#garbageLines++ >= MAX_GARBAGE_LINES) return
    this.#events.findLog().warn(
      { serverPid: this.pid, stdout: line.slice(0, MAX_SHOWN) },
      'a hosted server writes something to its standard output that is not a message of MCP'
    )
  }

  #signal (signal: NodeJS.Signals): void {
    const { pid } = this
    if (pid === undefined) return
    try {
      process.kill(-pid, signal)
    } catch {
      // nothing of it is left
    }
  }

  #after (ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work()
    }, ms)
    this.#timers.add(timer)
  }
}

function parse (line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function setRef (part: object, isRef: boolean): void {
  const method: unknown = Reflect.get(part, isRef ? 'ref' : 'unref')
  if (typeof method === 'function') Reflect.apply(method, part, [])
}
