import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import type { Test } from 'tap'

/** A Redis of this machine: nothing of it is left after the test. */
export class RedisServer {
  readonly port: number
  readonly #command: string
  readonly #directory = mkdtempSync(join(tmpdir(), 'redis-'))
  readonly #settings: readonly string[]
  #process: ChildProcess | undefined

  constructor (command: string, port: number, settings: readonly string[]) {
    this.#command = command
    this.port = port
    this.#settings = settings
  }

  /** Port that the nodes of a cluster talk on. */
  get busPort (): number {
    return Number(this.#settings[this.#settings.indexOf('--cluster-port') + 1])
  }

  get url (): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts it (again), with what it kept, and waits until it answers. */
  async start (): Promise<void> {
    const child = spawn(this.#command, [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--dir',
      this.#directory,
      '--save',
      '',
      '--appendonly',
      'yes',
      '--appendfsync',
      'always',
      ...this.#settings
    ], { stdio: ['ignore', 'pipe', 'ignore'] })
    this.#process = child
    const kill = () => { child.kill('SIGKILL') }
    process.once('exit', kill)
    child.once('exit', () => { process.off('exit', kill) })
    for await (const line of createInterface(child.stdout)) if (line.includes('Ready to accept connections')) break
    child.stdout.resume()
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
  }

  async stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill(signal)
    // a process that was stopped hears nothing else
    child.kill('SIGCONT')
    await exit
  }

  /** Takes from it, while it is stopped, all it kept. */
  forget (): void {
    rmSync(this.#directory, { recursive: true, force: true })
    mkdirSync(this.#directory)
  }

  /** A connection to look into it with; it ends with the test. */
  admin (t: Test): Redis {
    const redis = new Redis(this.url)
    t.teardown(() => { redis.disconnect() })
    return redis
  }

  /** Makes it silent, or speak again, with its connections open. */
  signal (signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal)
  }

  async end (): Promise<void> {
    await this.stop('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
