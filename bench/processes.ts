import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import type { Call, CallAnswer, Calls } from './child.js'

/** Whether processes can be kept to a core each. */
export const canPin = availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0

const CALL_MS = 30_000
const END_MS = 10_000

/** A process of ours that answers calls. It ends when we do. */
export class Child<C extends Calls> {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, (answer: CallAnswer) => void>()
  #calls = 0

  /**
   * @param script compiled JavaScript
   * @param core the only core that it runs on
   */
  constructor (script: string, core: number, options: { node?: readonly string[], script?: readonly string[] } = {}) {
    const node = [process.execPath, ...options.node ?? [], script, ...options.script ?? []]
    const [command = '', ...rest] = canPin ? ['taskset', '-c', String(core), ...node] : node
    this.#process = spawn(command, rest, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: '', NODE_ENV: 'production' }
    })
    this.#process.on('message', (answer: CallAnswer) => { this.#waiting.get(answer.call)?.(answer) })
    this.#process.on('exit', code => {
      for (const [call, answer] of this.#waiting) answer({ call, error: `the process ended with ${code}` })
    })
  }

  /** @throws if it did not start */
  get pid (): number {
    const { pid } = this.#process
    if (pid === undefined) throw new Error('the process did not start')
    return pid
  }

  /** Calls the process, and gives up after `ms`. */
  async call<N extends keyof C & string> (
    name: N,
    argument?: Parameters<C[N]>[0],
    ms = CALL_MS
  ): Promise<Awaited<ReturnType<C[N]>>> {
    const call: Call = { call: ++this.#calls, name, argument }
    const answer = await new Promise<CallAnswer>(resolve => {
      const timeout = setTimeout(resolve, ms, { call: call.call, error: `${name} was not answered in ${ms} ms` })
      this.#waiting.set(call.call, answer => {
        clearTimeout(timeout)
        resolve(answer)
      })
      this.#process.send(call, error => {
        if (error !== null) this.#waiting.get(call.call)?.({ call: call.call, error: String(error) })
      })
    })
    this.#waiting.delete(call.call)
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.result as Awaited<ReturnType<C[N]>>
  }

  /** Lets the process exit by itself, so that a profile gets written; kills it where it does not. */
  async end (): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    const kill = setTimeout(() => { this.#process.kill('SIGKILL') }, END_MS)
    if (this.#process.connected) this.#process.disconnect()
    await exited
    clearTimeout(kill)
  }
}
