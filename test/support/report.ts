import { setTimeout as delay } from 'node:timers/promises'
import { kindOf, type Call } from '../replicas/load.js'

const PATIENCE_MS = 300_000

/** Prints figures, and whether what must hold does. */
export class Report {
  #held = true

  constructor (title: string) {
    this.say(`\n${title}`)
  }

  say (line: string): void {
    process.stdout.write(`${line}\n`)
  }

  figure (name: string, value: string | number): void {
    this.say(`  ${name}: ${value}`)
  }

  check (what: string, holds: boolean): void {
    this.#held &&= holds
    this.say(`  ${holds ? 'ok    ' : 'FAILED'} ${what}`)
  }

  /** Whether something can be done; what stops it is printed. */
  async attempt (what: string, step: () => Promise<void>): Promise<void> {
    const failure = await within(step).then(
      () => undefined,
      (error: unknown) => error instanceof Error ? error.message : String(error)
    )
    this.check(failure === undefined ? what : `${what}: ${failure}`, failure === undefined)
  }

  /** How many calls ended in which way. */
  outcomes (title: string, calls: readonly Call[]): void {
    const counts = new Map<string, number>()
    for (const { outcome } of calls) counts.set(kindOf(outcome), (counts.get(kindOf(outcome)) ?? 0) + 1)
    this.say(`  ${title}: ${calls.length}`)
    for (const [kind, count] of [...counts].sort(([, a], [, b]) => b - a)) this.say(`    ${count} x ${kind}`)
  }

  /** Calls that ran more than once, or gave a result without having run once. */
  runs (runs: ReadonlyMap<string, number>, calls: readonly Call[]): void {
    const twice = [...runs].filter(([, count]) => count > 1)
    const never = calls.filter(({ call, outcome }) => outcome?.end === 'result' && runs.get(call) !== 1)
    this.figure('calls that ran', runs.size)
    this.check(`0 calls ran twice (${twice.length})`, twice.length === 0)
    this.check(`every result is of a call that ran once (${never.length} are not)`, never.length === 0)
  }

  /** Ends the report. */
  end (): void {
    this.say(this.#held ? '  holds' : '  DOES NOT HOLD')
    if (!this.#held) process.exitCode = 1
  }
}

/** p50, p99 and maximum, in milliseconds. */
export function percentiles (values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN)
  return sorted.length === 0 ? 'none' : `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (of ${sorted.length})`
}

/** What a step comes to. It fails where it takes longer than five minutes. */
export async function within<T> (step: () => Promise<T>): Promise<T> {
  const patience = new AbortController()
  const late = delay(PATIENCE_MS, undefined, { signal: patience.signal }).then(() => {
    throw new Error(`not within ${PATIENCE_MS / 1000} s`)
  })
  return await Promise.race([step(), late]).finally(() => {
    late.catch(() => {})
    patience.abort()
  })
}
