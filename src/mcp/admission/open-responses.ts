import type { Admission } from './admission.js'
import type { Lease } from './quota.js'

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
  readonly #timer: NodeJS.Timeout

  constructor (options: OpenResponsesOptions) {
    this.#options = options
    this.#timer = setInterval(() => { this.weigh() }, WEIGH_MS).unref()
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
    open.release()
  }

  /** Cuts responses until the unread bytes are within their bounds: first those that do not move, then the heaviest. */
  weigh (): void {
    const heavy = [...this.#open].filter(open => open.weigh() > 0).sort((a, b) =>
      Number(a.moves) - Number(b.moves) || b.unread - a.unread
    )
    if (heavy.length === 0) return
    const { maxUnreadBytes, maxUnreadBytesPerPerson } = this.#options
    const byPerson = new Map<string, { unread: number, responses: OpenResponse[] }>()
    for (const open of heavy) {
      const { unread, responses } = byPerson.get(open.person) ?? { unread: 0, responses: [] }
      byPerson.set(open.person, { unread: unread + open.unread, responses: [...responses, open] })
    }
    for (const { unread, responses } of byPerson.values()) this.#cutTo(maxUnreadBytesPerPerson, unread, responses)
    const left = heavy.filter(open => this.#open.has(open))
    const heaviestPersonFirst = left.sort((a, b) =>
      (byPerson.get(b.person)?.unread ?? 0) - (byPerson.get(a.person)?.unread ?? 0)
    )
    this.#cutTo(maxUnreadBytes, left.reduce((sum, { unread }) => sum + unread, 0), heaviestPersonFirst)
  }

  /** Stops weighing. */
  stop (): void {
    clearInterval(this.#timer)
  }

  #cutTo (maxBytes: number, unread: number, responses: readonly OpenResponse[]): void {
    let left = unread
    for (const open of responses) {
      if (left <= maxBytes) return
      // one large response that moves may be read to its end
      if (open.moves && left === open.unread) return
      left -= open.unread
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
