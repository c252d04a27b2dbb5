import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { collectGarbage } from '../support/garbage.js'
import { Memory } from './memory.js'
import { faultOf } from './oracle.js'
import { scenario } from './scenarios.js'
import { send, type Leave } from './send.js'
import type { Scenario, Step } from './steps.js'
import { LoginRefused, type World } from './world.js'

/** Something that must not be. */
export interface Finding {
  /** The same for all that look alike. */
  kind: string
  text: string
  /** For `--replay`. */
  replay: string
}

/** Figures of a run. */
export interface Figures {
  requests: number
  /** Responses by class of status, such as `2xx`; `none`: the client went, or could not be understood. */
  statuses: Map<string, number>
  seconds: number
  /** Bytes after a garbage collection: at the start, and after each third. */
  heap: number[]
  rss: number[]
}

const CHUNK_SCENARIOS = 150
/** Bytes a request that the heap may grow by in the last third, and what it may grow by in any case. */
const GROWTH_PER_REQUEST = 400
const GROWTH = 12_000_000

/** Sends what strangers send, and says what is wrong with what comes back. */
export class Fuzzer {
  readonly findings = new Map<string, Finding>()
  readonly figures: Figures = { requests: 0, statuses: new Map(), seconds: 0, heap: [], rss: [] }
  readonly #worlds: readonly World[]
  readonly #rejections: string[] = []
  /** Whether it looks for the least that fails: that is not counted. */
  #shrinks = false
  readonly #onRejection = (reason: unknown) => {
    this.#rejections.push(`unhandled rejection: ${stackOf(reason)}`)
  }

  readonly #onException = (error: unknown) => {
    this.#rejections.push(`uncaught exception: ${stackOf(error)}`)
  }

  constructor (worlds: readonly World[]) {
    this.#worlds = worlds
    process.on('unhandledRejection', this.#onRejection)
    process.on('uncaughtException', this.#onException)
  }

  close (): void {
    process.off('unhandledRejection', this.#onRejection)
    process.off('uncaughtException', this.#onException)
  }

  /** Makes so many requests (or a few more), in all worlds in turn. @param progress hears of each turn */
  async run (seed: number, count: number, progress: (figures: Figures) => void = () => {}): Promise<void> {
    const begun = performance.now()
    this.#measure()
    for (let chunk = 0; this.figures.requests < count; chunk++) {
      const world = this.#worlds[chunk % this.#worlds.length]
      if (world === undefined) throw new Error('There is no world.')
      await this.#chunk(world, seedOf(seed, chunk))
      this.figures.seconds = (performance.now() - begun) / 1000
      while (this.figures.heap.length < 4 && this.figures.requests >= (count * this.figures.heap.length) / 3) {
        this.#measure()
      }
      progress(this.figures)
    }
    this.#checkGrowth(count)
  }

  /** Repeats one case, as its finding names it. */
  async replay (replay: string): Promise<void> {
    const [, name, seed, path] = /^([^:]*):(-?\d+):([\d:]+)$/.exec(replay) ?? []
    const world = this.#worlds.find(({ options }) => options.name === name)
    if (world === undefined || path === undefined) {
      throw new Error(`${replay} names no case of ${this.#worlds.map(({ options }) => options.name).join(', ')}.`)
    }
    await world.refresh()
    await this.#check(world, Number(seed), { path, numRuns: 1 })
  }

  async #chunk (world: World, seed: number): Promise<void> {
    // people log in and begin sessions, as at the start: strangers must not have made that impossible
    await world.refresh().catch((error: unknown) => {
      // then it goes on with the logins that there are
      if (error instanceof LoginRefused) return
      const replay = `${world.options.name}:${seed}:0`
      this.#found({ kind: 'refresh', text: `people cannot begin again: ${stackOf(error)}`, replay })
    })
    await this.#check(world, seed, { numRuns: CHUNK_SCENARIOS })
    if (!(await world.isAlive())) {
      this.#found({ kind: 'dead', text: '/healthz does not answer 200', replay: `${world.options.name}:${seed}:0` })
    }
    if ('polluted' in {} || Object.keys(Object.prototype).length > 0) {
      this.#found({
        kind: 'pollution',
        text: 'Object.prototype has members',
        replay: `${world.options.name}:${seed}:0`
      })
    }
  }

  async #check (world: World, seed: number, parameters: fc.Parameters<[Scenario]>): Promise<void> {
    const run = fc.asyncProperty(scenario, async scenario => {
      const fault = await this.#play(world, scenario)
      if (fault === undefined || this.findings.has(kindOf(fault))) return
      this.#shrinks = true
      throw new Error(fault)
    })
    this.#shrinks = false
    const details = await fc.check(run, { ...parameters, seed, interruptAfterTimeLimit: 120_000 })
    if (!details.failed || details.counterexample === null) return
    const text = details.errorInstance instanceof Error ? details.errorInstance.message : String(details.errorInstance)
    const [counterexample] = details.counterexample
    this.#found({
      kind: kindOf(text),
      text: `${text}\n${counterexample.atOnce ? 'At once:\n' : ''}${
        counterexample.steps.map(step => JSON.stringify(step)).join('\n')
      }`,
      replay: `${world.options.name}:${seed}:${details.counterexamplePath ?? ''}`
    })
    // the rest of this turn is not lost
    const [index = 0] = (details.counterexamplePath ?? '').split(':').map(Number)
    if (parameters.path === undefined && index + 1 < CHUNK_SCENARIOS) {
      await this.#check(world, seedOf(seed, index), { numRuns: CHUNK_SCENARIOS - index - 1 })
    }
  }

  #found (finding: Finding): void {
    if (!this.findings.has(finding.kind)) this.findings.set(finding.kind, finding)
  }

  /** @returns what was wrong */
  async #play (world: World, { steps, atOnce }: Scenario): Promise<string | undefined> {
    const memory = new Memory(world)
    const kept: Leave[] = []
    try {
      if (atOnce) {
        const faults = await Promise.all(steps.map(step => this.#step(world, memory, step, kept)))
        return faults.find(fault => fault !== undefined) ?? (await this.#unheard(world))
      }
      for (const step of steps) {
        const fault = (await this.#step(world, memory, step, kept)) ?? (await this.#unheard(world))
        if (fault !== undefined) return fault
      }
    } finally {
      for (const leave of kept) leave()
    }
    return await this.#unheard(world)
  }

  async #step (world: World, memory: Memory, step: Step, kept: Leave[]): Promise<string | undefined> {
    if ('login' in step) {
      await memory.logIn(step.login)
      return undefined
    }
    const request = world.placed(memory.filled(step))
    if (!this.#shrinks) this.figures.requests++
    try {
      const response = await send(request, {
        app: world.app,
        port: world.port,
        keep: leave => {
          kept.push(leave)
        }
      })
      const status = response === undefined ? 'none' : `${Math.floor(response.status / 100)}xx`
      if (!this.#shrinks) this.figures.statuses.set(status, (this.figures.statuses.get(status) ?? 0) + 1)
      if (response === undefined) return undefined
      memory.learn(response)
      const fault = faultOf(request, response, step => world.routeOf(step))
      return (
        fault &&
        `${request.method} ${request.target.replace(/\?.*/s, '').slice(0, 60)}: ${fault}\n${response.status} ${
          response.body.slice(0, 600)
        }`
      )
    } catch (error) {
      return `${request.method} ${request.target.slice(0, 60)}: ${
        error instanceof Error ? error.message : String(error)
      }`
    }
  }

  /** What went wrong without a response that shows it. */
  async #unheard (world: World): Promise<string | undefined> {
    if (this.#rejections.length === 0 && world.errors.length === 0) await setImmediate()
    const [rejection] = this.#rejections.splice(0)
    const [line] = world.errors.splice(0)
    return rejection ?? (line === undefined ? undefined : `logged as an error: ${line.slice(0, 3000)}`)
  }

  #measure (): void {
    collectGarbage()
    const { heapUsed, rss } = process.memoryUsage()
    this.figures.heap.push(heapUsed)
    this.figures.rss.push(rss)
  }

  #checkGrowth (count: number): void {
    const { heap } = this.figures
    const grown = (heap.at(-1) ?? 0) - (heap.at(-2) ?? 0)
    const allowed = GROWTH + (count / 3) * GROWTH_PER_REQUEST
    if (grown > allowed) {
      this.#found({
        kind: 'heap',
        text: `the heap grew by ${grown} bytes in the last third: ${heap.join(', ')}`,
        replay: ''
      })
    }
  }
}

/** A seed for each turn of a run: fast-check takes 32 bits. */
function seedOf (seed: number, turn: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) + Math.imul(turn + 1, 0x85ebca6b)) | 0
}

const stackOf = (reason: unknown) => (reason instanceof Error ? (reason.stack ?? reason.message) : String(reason))

// without what is different each time: ids, numbers, texts
function kindOf (fault: string): string {
  const [first = '', second = ''] = fault.split('\n')
  const about = /^(unhandled|uncaught)/.test(first)
    ? `${first} ${second}`
    : /^logged/.test(first)
      ? first
        .replace(/.*"err":|.*logged as an error: /, '')
        .replace(/"(time|pid|hostname|reqId|sessionId|traceId)":("[^"]*"|\d+),?/g, '')
      : first
  return about
    .replace(/"[^"]*"/g, '""')
    .replace(/\d+/g, '0')
    .slice(0, 200)
}
