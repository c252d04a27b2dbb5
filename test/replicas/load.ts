import { setTimeout as delay } from 'node:timers/promises'
import { RawSession, type Login, type Outcome } from '../support/raw-session.js'

/** A call of the load, from its client's side. */
export interface Call {
  /** Its id, which the server marks when it runs. */
  call: string
  session: RawSession
  /** Whether it is one that is answered by a stream. */
  streamed: boolean
  /** Milliseconds since the epoch. */
  startedAt: number
  endedAt: number
  outcome: Outcome | undefined
}

export interface LoadOptions {
  sessions: readonly RawSession[]
  /** Time between two calls of one session, in the mean. */
  thinkMs: number
  /** Share of calls that report progress, and take a second or so. Default: a tenth. */
  streamed?: number
  /** Time that streamed calls take at most. Default: 2000. */
  streamedMs?: number
}

/** Sessions that call the tool `work` all the time: most calls are quick, some are answered by a stream. */
export class Load {
  readonly calls: Call[] = []
  readonly #url: string
  readonly #options: LoadOptions
  #running: Promise<unknown> = Promise.resolve()
  #stopped = false
  #counter = 0

  constructor (url: string, options: LoadOptions) {
    this.#url = url
    this.#options = options
  }

  start (): void {
    this.#running = Promise.all(this.#options.sessions.map(session => this.#run(session)))
  }

  /** Begins no more calls, and waits for the end of those that run. */
  async stop (): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** One call in each session. @returns those that did not give their result */
  async probe (): Promise<Call[]> {
    const queue = [...this.#options.sessions]
    const failed: Call[] = []
    await Promise.all(Array.from({ length: 20 }, async () => {
      for (let session = queue.pop(); session !== undefined; session = queue.pop()) {
        const call = await this.call(session, 0, 0)
        if (call.outcome?.end !== 'result') failed.push(call)
      }
    }))
    return failed
  }

  async call (session: RawSession, ms: number, steps: number): Promise<Call> {
    const call: Call = {
      call: `call-${this.#counter++}`,
      session,
      streamed: steps > 0,
      startedAt: Date.now(),
      endedAt: NaN,
      outcome: undefined
    }
    this.calls.push(call)
    call.outcome = await session.call(this.#url, 'work', { call: call.call, ms, steps })
    call.endedAt = Date.now()
    return call
  }

  async #run (session: RawSession): Promise<void> {
    const { thinkMs, streamed = 0.1, streamedMs = 2000 } = this.#options
    for (;;) {
      await delay(Math.random() * 2 * thinkMs)
      if (this.#stopped) return
      if (Math.random() < streamed) await this.call(session, streamedMs * (0.25 + 0.75 * Math.random()), 3)
      else await this.call(session, 0, 0)
    }
  }
}

/** Opens sessions, evenly for the logins. */
export async function openSessions (url: string, logins: readonly Login[], count: number): Promise<RawSession[]> {
  const sessions: RawSession[] = []
  let left = count
  await Promise.all(Array.from({ length: 16 }, async () => {
    while (left-- > 0) {
      const login = logins[left % logins.length]
      if (login !== undefined) sessions.push(await RawSession.open(url, login))
    }
  }))
  return sessions
}

/** What an outcome is, in a few words: to count them by. */
export function kindOf (outcome: Outcome | undefined): string {
  switch (outcome?.end) {
    case undefined:
      return 'pending'
    case 'result':
      return outcome.resumed ? 'result after resumption' : 'result'
    case 'error':
      return `error ${outcome.code} ${outcome.message}${outcome.resumed ? ' after resumption' : ''}`
    case 'http':
      return `HTTP ${outcome.status}${outcome.retryAfter === null ? '' : ` Retry-After ${outcome.retryAfter}`}`
    case 'connection':
      return `connection: ${outcome.message}`
    case 'unanswered':
      return `UNANSWERED: ${outcome.message}`
  }
}
