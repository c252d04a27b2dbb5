import { inSlices } from '../../collections/in-slices.js'
import type { Admission } from './admission.js'
import type { Lease } from './quota.js'
import { UnreadBytes } from './unread-bytes.js'

/** The HTTP response to a request, as far as its weight goes. */
export interface Weighable {
  /** Bytes that wait for the client to read them. */
  readonly unreadBytes: number
  /** Ends the connection. */
  cut (): void
}

export interface OpenResponsesOptions {
  admission: Admission
  maxUnreadBytes: number
  maxUnreadBytesPerPerson: number
  /** Called for each response that was cut. @param bytes those that its client had not read */
  onCut: (bytes: number) => void
}

const WEIGH_MS = 500
// a client that takes less in that time does not read
const PROGRESS_BYTES = 8192

/** The HTTP requests whose response is not over: bounds their number, the bytes of their bodies, and unread bytes. */
export class OpenResponses {
  readonly #options: OpenResponsesOptions
  readonly #open = new Set<OpenResponse>()
  readonly #unread = new UnreadBytes<OpenResponse>()
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
    this.#unread.set(open, 0)
    open.release()
  }

  /**
   * Weighs all responses, some in each turn; then cuts responses until the unread bytes are within their bounds: first
   * those that do not move, then the heaviest. Never rejects.
   */
  async weigh (): Promise<void> {
    if (this.#isWeighing) return
    this.#isWeighing = true
    await inSlices(this.#open, open => { this.#unread.set(open, open.weigh()) })
    this.#isWeighing = false
    const { maxUnreadBytes, maxUnreadBytesPerPerson } = this.#options
    const tooMuch = this.#unread.personsAbove(maxUnreadBytesPerPerson)
    for (const person of tooMuch) this.#cutTo(maxUnreadBytesPerPerson, person, () => this.#unread.of(person))
    while (this.#unread.total > maxUnreadBytes) {
      const { heaviest } = this.#unread
      const before = this.#unread.total
      if (heaviest !== undefined) this.#cutTo(maxUnreadBytes, heaviest, () => this.#unread.total)
      if (this.#unread.total === before) return
    }
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
      this.#options.onCut(open.unread)
      this.close(open)
      open.cut()
    }
  }
}

/** A request whose response is not over. */
export class OpenResponse {
  readonly person: string
  readonly #leases: readonly [responses: Lease, bytes: Lease]
  readonly #response: Weighable
  #unread = 0
  #moves = true

  constructor (person: string, leases: readonly [responses: Lease, bytes: Lease], response: Weighable) {
    this.person = person
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

  weigh (): number {
    const unread = this.#response.unreadBytes
    this.#moves = this.#unread === 0 || unread + PROGRESS_BYTES <= this.#unread
    this.#unread = unread
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
