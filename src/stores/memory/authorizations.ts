import { parseRecord } from '../../parse-record.js'
import { PriorityQueue } from '../../collections/priority-queue.js'
import { passesIn, TemporarilyUnavailableError } from '../../errors.js'
import {
  ATTEMPT_OVERHEAD_BYTES,
  AUTHORIZATION_BOUNDS,
  type AuthorizationBounds,
  type AuthorizationTransaction,
  type AuthorizationTransactionStore,
  type KeptFor
} from '../authorizations.js'
import { Budget } from './budget.js'

export interface MemoryAuthorizationTransactionStoreOptions {
  bounds?: AuthorizationBounds
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

interface Attempt {
  address: string
  bytes: number
  /** Epoch seconds. */
  endsAt: number
  /** JSON; absent once it is over. */
  transaction?: string
}

const SWEEP_MS = 1000
// dropped in one turn: some milliseconds
const MAX_SWEPT = 2000

/** Authorization transactions of a single process. */
export class MemoryAuthorizationTransactionStore implements AuthorizationTransactionStore {
  readonly #attempts = new Map<string, Attempt>()
  /** Their ids, the next to end first. */
  readonly #ends = new PriorityQueue<string>()
  readonly #budget: Budget
  readonly #now: () => number
  readonly #sweep: NodeJS.Timeout

  constructor ({ bounds = AUTHORIZATION_BOUNDS, now = Date.now }: MemoryAuthorizationTransactionStoreOptions = {}) {
    this.#budget = new Budget(bounds)
    this.#now = now
    this.#sweep = setInterval(() => { this.#dropEnded() }, SWEEP_MS).unref()
  }

  async add (
    id: string,
    transaction: AuthorizationTransaction,
    keptFor: KeptFor
  ): Promise<AuthorizationTransaction | undefined> {
    const standing = this.#find(id)
    if (standing !== undefined) return parse(standing)
    const json = JSON.stringify(transaction)
    this.#keep(id, keptFor, json)
    return parse({ transaction: json })
  }

  async get (id: string): Promise<AuthorizationTransaction | undefined> {
    return parse(this.#find(id))
  }

  async take (id: string): Promise<AuthorizationTransaction | undefined> {
    const attempt = this.#find(id)
    const transaction = parse(attempt)
    if (attempt !== undefined) this.#empty(attempt)
    return transaction
  }

  async end (id: string, keptFor: KeptFor): Promise<boolean> {
    const attempt = this.#find(id)
    if (attempt === undefined) {
      this.#keep(id, keptFor)
      return true
    }
    const wasOver = attempt.transaction === undefined
    this.#empty(attempt)
    return !wasOver
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  #find (id: string): Attempt | undefined {
    const attempt = this.#attempts.get(id)
    return attempt !== undefined && attempt.endsAt > this.#now() / 1000 ? attempt : undefined
  }

  #keep (id: string, { address, ttlSeconds }: KeptFor, transaction?: string): void {
    this.#dropEnded()
    const bytes = ATTEMPT_OVERHEAD_BYTES + (transaction === undefined ? 0 : Buffer.byteLength(transaction))
    if (this.#budget.exceeded(address, bytes) !== undefined) throw tooManyAttempts()
    this.#budget.count(address, 1, bytes)
    const endsAt = this.#now() / 1000 + ttlSeconds
    this.#ends.set(id, endsAt)
    this.#attempts.set(id, {
      address,
      bytes,
      endsAt,
      ...transaction !== undefined && { transaction }
    })
  }

  #empty (attempt: Attempt): void {
    delete attempt.transaction
    this.#budget.count(attempt.address, 0, ATTEMPT_OVERHEAD_BYTES - attempt.bytes)
    attempt.bytes = ATTEMPT_OVERHEAD_BYTES
  }

  #dropEnded (): void {
    const now = this.#now() / 1000
    for (let dropped = 0; dropped < MAX_SWEPT; dropped++) {
      const id = this.#ends.takeUpTo(now)
      const attempt = id === undefined ? undefined : this.#attempts.get(id)
      if (id === undefined || attempt === undefined) return
      this.#attempts.delete(id)
      this.#budget.count(attempt.address, -1, -attempt.bytes)
    }
  }
}

/** Refuses one more attempt: what is kept already is nobody's to push out. */
export function tooManyAttempts (): TemporarilyUnavailableError {
  return new TemporarilyUnavailableError(...passesIn(120, 'Too many logins are in progress.'))
}

function parse (attempt: Pick<Attempt, 'transaction'> | undefined): AuthorizationTransaction | undefined {
  return attempt?.transaction === undefined ? undefined : parseRecord(attempt.transaction)
}
