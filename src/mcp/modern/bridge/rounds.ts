import type { BridgedOutcome, OpenRequest } from './bridged-call.js'
import { fingerprint } from './fingerprint.js'
import type { CallClaim } from './suspended-calls.js'

/** Rounds of one person whose outcome is kept, and the characters that these may have. */
const MAX_PER_PERSON = 32
const MAX_TEXT_PER_PERSON = 4_194_304
/** The same, of everybody. */
const MAX_ROUNDS = 1000
const MAX_TEXT = 67_108_864

type Input = Readonly<Record<string, unknown>>

/**
 * What clients have brought for suspended calls of this process, once for each question. If a connection is cut, the
 * client does not know whether its input has arrived, and brings it again: it gets the outcome of the first time.
 */
export class Rounds {
  readonly #repeatMs: number
  /** Oldest first. */
  readonly #rounds = new Map<string, Round>()

  /** @param repeatMs how long a client may take to repeat a round */
  constructor (repeatMs: number) {
    this.#repeatMs = repeatMs
  }

  /** Whether calls run. */
  get running (): boolean {
    for (const round of this.#rounds.values()) if (round.isRunning) return true
    return false
  }

  /** The round that a client repeats; `other-input` if it brought something else the first time. */
  find (claim: CallClaim, input: Input): Round | 'other-input' | undefined {
    const round = this.#rounds.get(roundKey(claim))
    if (round === undefined || !round.isOf(claim)) return undefined
    return round.input === fingerprint(input) ? round : 'other-input'
  }

  /** Begins a round. @param run continues the call */
  begin (claim: CallClaim, input: Input, run: (open: OpenRequest) => Promise<BridgedOutcome>): Round {
    const round = new Round(claim, fingerprint(input), this.#repeatMs, run)
    this.#rounds.set(roundKey(claim), round)
    round.outcome.then(outcome => { this.#keep(round, outcome) }, () => { this.#forget(round) })
    return round
  }

  /** The grants of the rounds that run, or may be asked for again. */
  * grantsInUse (): Iterable<string | undefined> {
    for (const { claim } of this.#rounds.values()) yield claim.grantId
  }

  /** Ends the rounds of a grant that has ended. */
  endGrant (ended: string): void {
    for (const round of [...this.#rounds.values()]) if (round.claim.grantId === ended) this.#end(round)
  }

  /** Ends all. */
  close (): void {
    for (const round of [...this.#rounds.values()]) this.#end(round)
  }

  #end (round: Round): void {
    this.#forget(round)
    round.end()
  }

  #keep (round: Round, outcome: BridgedOutcome): void {
    if (round.isEnded || this.#rounds.get(roundKey(round.claim)) !== round) {
      this.#forget(round)
      return
    }
    round.textLength = JSON.stringify(outcome).length
    setTimeout(() => { this.#forget(round) }, this.#repeatMs).unref()
    const kept = [...this.#rounds.values()].filter(({ isRunning }) => !isRunning)
    this.#makeRoom(kept.filter(({ claim }) => claim.person === round.claim.person), MAX_PER_PERSON, MAX_TEXT_PER_PERSON)
    this.#makeRoom(kept.filter(({ claim }) => this.#rounds.has(roundKey(claim))), MAX_ROUNDS, MAX_TEXT)
  }

  /** Forgets the oldest, until the others are within the bounds. */
  #makeRoom (kept: readonly Round[], maxRounds: number, maxText: number): void {
    let [count, text] = [kept.length, kept.reduce((sum, { textLength }) => sum + textLength, 0)]
    for (const round of kept) {
      if (count <= maxRounds && text <= maxText) return
      count--
      text -= round.textLength
      this.#forget(round)
    }
  }

  #forget (round: Round): void {
    const key = roundKey(round.claim)
    if (this.#rounds.get(key) === round) this.#rounds.delete(key)
  }
}

/** One continuation of a call, with what the client has brought for it. */
export class Round {
  readonly claim: CallClaim
  /** Fingerprint of what was brought. */
  readonly input: string
  readonly outcome: Promise<BridgedOutcome>
  /** Of the outcome. */
  textLength = 0
  isRunning = true
  readonly #repeatMs: number
  readonly #ended = new AbortController()
  /** The request that waits for it. */
  #open: OpenRequest | undefined
  #absence: NodeJS.Timeout | undefined

  constructor (
    claim: CallClaim,
    input: string,
    repeatMs: number,
    run: (open: OpenRequest) => Promise<BridgedOutcome>
  ) {
    this.claim = claim
    this.input = input
    this.#repeatMs = repeatMs
    const open = () => this.#open
    this.outcome = run({
      signal: this.#ended.signal,
      mayReturn: () => false,
      notify: notification => open()?.notify(notification),
      get progressToken () { return open()?.progressToken }
    }).finally(() => {
      this.isRunning = false
      clearTimeout(this.#absence)
    })
  }

  get isEnded (): boolean {
    return this.#ended.signal.aborted
  }

  /** Whether a client that comes back means this call, and may. */
  isOf ({ owner, callee }: CallClaim): boolean {
    return owner === this.claim.owner && callee === this.claim.callee
  }

  /** Waits for the outcome. If the client goes, it has some time to come back; then the call is cancelled. */
  async join (open: OpenRequest): Promise<BridgedOutcome> {
    const leave = () => {
      if (this.#open !== open) return
      this.#open = undefined
      if (!this.isRunning) return
      if (open.mayReturn()) this.#absence = setTimeout(() => { this.end() }, this.#repeatMs).unref()
      else this.end()
    }
    this.#open = open
    clearTimeout(this.#absence)
    open.signal.addEventListener('abort', leave, { once: true })
    if (open.signal.aborted) leave()
    try {
      return await this.outcome
    } finally {
      open.signal.removeEventListener('abort', leave)
    }
  }

  /** Cancels the call. */
  end (): void {
    clearTimeout(this.#absence)
    this.#ended.abort()
  }
}

function roundKey ({ callId, round }: CallClaim): string {
  return `${callId}:${round}`
}
