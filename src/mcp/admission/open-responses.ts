import { anonymousShare, isAnonymousKey, limitKey } from '../../caller.js'
import { inSlices } from '../../collections/in-slices.js'
import type { Admission } from './admission.js'
import type { Lease } from './quota.js'
import { UnreadBytes } from './unread-bytes.js'

/** The HTTP response to a request, as far as its weight goes. */
export interface Weighable {
  /** Bytes that wait for the client to read them. */
  readonly unreadBytes: number
  /** Differs whenever the client has taken some of them; undefined if only `unreadBytes` shows it. */
  readonly takenBytes: number | undefined
  /** Ends the connection. */
  cut (): void
}

export interface OpenResponsesOptions {
  admission: Admission
  maxUnreadBytes: number
  maxUnreadBytesPerPerson: number
  /** Milliseconds after which a response is cut if its client takes nothing of what waits for it. */
  stalledMs: number
  /** Called for each response that was cut. @param bytes those that its client had not read */
  onCut: (bytes: number, reason: 'stalled' | 'too much') => void
}

const WEIGH_MS = 500
// a client that takes less in that time does not read
const PROGRESS_BYTES = 8192

/** The HTTP requests whose response is not over: bounds their number, the bytes of their bodies, and unread bytes. */
export class OpenResponses {
  readonly #options: OpenResponsesOptions
  readonly #open = new Set<OpenResponse>()
  readonly #unread = new UnreadBytes<OpenResponse>()
  /** Those of callers who have not logged in, which are among them. */
  readonly #unreadOfAnonymous = new UnreadBytes<OpenResponse>()
  readonly #timer: NodeJS.Timeout
  #isWeighing = false

  constructor (options: OpenResponsesOptions) {
    this.#options = options
    this.#timer = setInterval(() => { this.weigh().catch(() => {}) }, WEIGH_MS).unref()
  }

  /**
   * Admits a request.
   * @param bodyBytes the most that its body may weigh
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  open (person: string, bodyBytes: number, response: Weighable): OpenResponse {
    const open = new OpenResponse(person, this.#options.admission.takeResponse(person, bodyBytes), response)
    this.#open.add(open)
    return open
  }

  /** The response is over. */
  close (open: OpenResponse): void {
    this.#open.delete(open)
    this.#setUnread(open, 0)
    open.release()
  }

  /**
   * Weighs all responses, some in each turn, and cuts those that have not moved for too long; then cuts responses until
   * the unread bytes are within their bounds: first those that do not move, then the heaviest. Never rejects.
   */
  async weigh (): Promise<void> {
    if (this.#isWeighing) return
    this.#isWeighing = true
    const { maxUnreadBytes, maxUnreadBytesPerPerson, stalledMs } = this.#options
    const now = performance.now()
    await inSlices(this.#open, open => {
      this.#setUnread(open, open.weigh(now))
      if (open.unread > 0 && now - open.movedAt > stalledMs) this.#cut(open, 'stalled')
    })
    this.#isWeighing = false
    const tooMuch = this.#unread.personsAbove(maxUnreadBytesPerPerson)
    for (const person of tooMuch) this.#cutTo(maxUnreadBytesPerPerson, person, () => this.#unread.of(person))
    this.#cutHeaviest(this.#unreadOfAnonymous, anonymousShare(maxUnreadBytes))
    this.#cutHeaviest(this.#unread, maxUnreadBytes)
  }

  /** Cuts responses of those who have the most, until all together have no more than so many bytes. */
  #cutHeaviest (unread: UnreadBytes<OpenResponse>, maxBytes: number): void {
    while (unread.total > maxBytes) {
      const { heaviest, total } = unread
      if (heaviest !== undefined) this.#cutTo(maxBytes, heaviest, () => unread.total)
      if (unread.total === total) return
    }
  }

  #setUnread (open: OpenResponse, bytes: number): void {
    this.#unread.set(open, bytes)
    if (isAnonymousKey(open.person)) this.#unreadOfAnonymous.set(open, bytes)
  }

  /** Stops weighing. */
  stop (): void {
    clearInterval(this.#timer)
  }

  /** Cuts responses of a person as long as `unread` says more than `maxBytes`. */
  #cutTo (maxBytes: number, person: string, unread: () => number): void {
    const responses = [...this.#unread.responses(person)].sort((a, b) =>
      Number(a.moves) - Number(b.moves) || b.unread - a.unread
    )
    for (const open of responses) {
      const left = unread()
      if (left <= maxBytes) return
      // one large response that moves may be read to its end
      if (open.moves && left === open.unread) return
      this.#cut(open, 'too much')
    }
  }

  #cut (open: OpenResponse, reason: 'stalled' | 'too much'): void {
    this.#options.onCut(open.unread, reason)
    this.close(open)
    open.cut()
  }
}

/** A request whose response is not over. */
export class OpenResponse {
  readonly person: string
  readonly #leases: readonly [responses: Lease, bytes: Lease]
  readonly #response: Weighable
  #unread = 0
  #taken: number | undefined
  #moves = true
  #movedAt = 0

  constructor (person: string, leases: readonly [responses: Lease, bytes: Lease], response: Weighable) {
    this.person = limitKey(person)
    this.#leases = leases
    this.#response = response
  }

  /** Bytes that its client had not read when it was last weighed. */
  get unread (): number {
    return this.#unread
  }

  /** Whether its client reads it. */
  get moves (): boolean {
    return this.#moves
  }

  /** When its client last took something, or had nothing to take, by `performance.now`. */
  get movedAt (): number {
    return this.#movedAt
  }

  /** @param now by `performance.now` */
  weigh (now: number): number {
    const { unreadBytes: unread } = this.#response
    // most have none
    const taken = unread === 0 ? undefined : this.#response.takenBytes
    const change = taken === undefined || this.#taken === undefined
      ? this.#unread - unread
      : Math.abs(taken - this.#taken)
    this.#moves = this.#unread === 0 || change >= PROGRESS_BYTES
    if (this.#unread === 0 || unread === 0 || change > 0) this.#movedAt = now
    this.#unread = unread
    this.#taken = taken
    return unread
  }

  /** The body has arrived: it weighs this much. */
  bodyCame (bytes: number): void {
    const [, body] = this.#leases
    if (bytes < body.amount) body.set(bytes)
  }

  cut (): void {
    this.#response.cut()
  }

  release (): void {
    for (const lease of this.#leases) lease.release()
  }
}
