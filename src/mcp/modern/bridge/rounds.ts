import { limitKey } from '../../../caller.js'
import type { Admission } from '../../admission/admission.js'
import type { Holder } from '../../admission/places.js'
import type { OpenRequest } from './bridged-call.js'
import { fingerprint } from '../../../fingerprint.js'
import type { CallClaim } from './suspended-calls.js'

/** Rounds of one person whose outcome is kept, and the characters that these may have. */
const MAX_PER_PERSON = 32
const MAX_TEXT_PER_PERSON = 4_194_304
/** The same, of everybody. */
const MAX_ROUNDS = 1000
const MAX_TEXT = 67_108_864

type Input = Readonly<Record<string, unknown>>

/**
 * What clients have brought for calls of this process, once for each question. If a connection is cut, the client does
 * not know whether its input has arrived, and brings it again: it gets the outcome of the first time.
 */
export class Rounds<Outcome extends object> {
  readonly #repeatMs: number
  readonly #admission: Admission
  /** Oldest first. */
  readonly #rounds = new Map<string, Round<Outcome>>()

  /** @param repeatMs how long a client may take to repeat a round */
  constructor (repeatMs: number, admission: Admission) {
    this.#repeatMs = repeatMs
    this.#admission = admission
  }

  /** Whether calls run. */
  get running (): boolean {
    for (const round of this.#rounds.values()) if (round.isRunning) return true
    return false
  }

  /** The round that a client repeats; `other-input` if it brought something else the first time. */
  find (claim: CallClaim, input: Input): Round<Outcome> | 'other-input' | undefined {
    const round = this.#rounds.get(roundKey(claim))
    if (round === undefined || !round.isOf(claim)) return undefined
    return round.input === fingerprint(input) ? round : 'other-input'
  }

  /** The only round of a call. */
  get (callId: string): Round<Outcome> | undefined {
    return this.#rounds.get(roundKey({ callId, round: 0 }))
  }

  /** Begins a round. @param run continues the call */
  begin (claim: CallClaim, input: Input, run: (open: OpenRequest) => Promise<Outcome>): Round<Outcome> {
    const round = new Round(claim, fingerprint(input), run, { repeatMs: this.#repeatMs, admission: this.#admission })
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

  #end (round: Round<Outcome>): void {
    this.#forget(round)
    round.end()
  }

  #keep (round: Round<Outcome>, outcome: Outcome): void {
    if (round.isEnded || this.#rounds.get(roundKey(round.claim)) !== round) {
      this.#forget(round)
      return
    }
    round.textLength = JSON.stringify(outcome).length
    setTimeout(() => { this.#forget(round) }, this.#repeatMs).unref()
    const kept = [...this.#rounds.values()].filter(({ isRunning }) => !isRunning)
    const person = limitKey(round.claim.person)
    this.#makeRoom(kept.filter(({ claim }) => limitKey(claim.person) === person), MAX_PER_PERSON, MAX_TEXT_PER_PERSON)
    this.#makeRoom(kept.filter(({ claim }) => this.#rounds.has(roundKey(claim))), MAX_ROUNDS, MAX_TEXT)
  }

  /** Forgets the oldest, until the others are within the bounds. */
  #makeRoom (kept: ReadonlyArray<Round<Outcome>>, maxRounds: number, maxText: number): void {
    let [count, text] = [kept.length, kept.reduce((sum, { textLength }) => sum + textLength, 0)]
    for (const round of kept) {
      if (count <= maxRounds && text <= maxText) return
      count--
      text -= round.textLength
      this.#forget(round)
    }
  }

  /** Forgets a round: the same input is not a repetition of it. */
  forget (round: Round<Outcome>): void {
    this.#forget(round)
  }

  #forget (round: Round<Outcome>): void {
    const key = roundKey(round.claim)
    if (this.#rounds.get(key) === round) this.#rounds.delete(key)
  }
}

/** One continuation of a call, with what the client has brought for it. */
export class Round<Outcome> {
  readonly claim: CallClaim
  /** Fingerprint of what was brought. */
  readonly input: string
  readonly outcome: Promise<Outcome>
  /** Of the outcome. */
  textLength = 0
  isRunning = true
  readonly #options: { repeatMs: number, admission: Admission }
  readonly #ended = new AbortController()
  /** The request that waits for it. */
  #open: OpenRequest | undefined
  /** While nobody waits: until when, and its place among the instances of the process. */
  #absence: { timer: NodeJS.Timeout, place: Holder } | undefined

  constructor (
    claim: CallClaim,
    input: string,
    run: (open: OpenRequest) => Promise<Outcome>,
    options: { repeatMs: number, admission: Admission }
  ) {
    this.claim = claim
    this.input = input
    this.#options = options
    const open = () => this.#open
    this.outcome = run({
      signal: this.#ended.signal,
      mayReturn: () => false,
      notify: notification => open()?.notify(notification),
      get progressToken () { return open()?.progressToken }
    }).finally(() => {
      this.isRunning = false
      this.#isBack()
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
  async join (open: OpenRequest): Promise<Outcome> {
    const leave = () => {
      if (this.#open !== open) return
      this.#open = undefined
      if (!this.isRunning) return
      if (open.mayReturn()) this.#isAway()
      else this.end()
    }
    this.#open = open
    this.#isBack()
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
    this.#isBack()
    this.#ended.abort()
  }

  #isAway (): void {
    const { repeatMs, admission } = this.#options
    const giveUp = () => { this.end() }
    const place: Holder = { person: this.claim.person, state: 'lasting', giveWay: giveUp }
    admission.addInstance(place)
    this.#absence = { timer: setTimeout(giveUp, repeatMs).unref(), place }
  }

  #isBack (): void {
    if (this.#absence === undefined) return
    clearTimeout(this.#absence.timer)
    this.#options.admission.freeInstance(this.#absence.place)
    this.#absence = undefined
  }
}

function roundKey ({ callId, round }: Pick<CallClaim, 'callId' | 'round'>): string {
  return `${callId}:${round}`
}
