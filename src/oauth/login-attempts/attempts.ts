import type { LoginStepRecord, LoginVisitRecord } from '../../stores/attempts.js'

/** One attempt to log in, with its steps in the order of their arrival. */
export interface Attempt extends Pick<LoginStepRecord, 'clientId' | 'clientName' | 'clientKind' | 'redirectHost'> {
  steps: LoginStepRecord[]
}

/** The requests of one program at one address, one after the other. */
export interface Visit extends Pick<LoginVisitRecord, 'address' | 'userAgent'> {
  requests: LoginVisitRecord[]
}

// a pause this long begins another visit
const VISIT_PAUSE_MS = 300_000

/**
 * Groups steps into attempts, the last one first: a registration and an authorization request by their client id, all
 * further steps by a link in common. A failed step that belongs to no known attempt is an attempt of its own.
 * @param steps the oldest first
 */
export function groupSteps (steps: readonly LoginStepRecord[]): Attempt[] {
  const attempts = new AttemptList()
  for (const record of steps) attempts.add(record)
  return attempts.lastFirst()
}

class AttemptList {
  /** The last to change is the last. */
  readonly #attempts = new Set<Attempt>()
  readonly #byLink = new Map<string, Attempt>()
  /** Registrations that no authorization request has followed yet, and failures that belong to no known attempt. */
  readonly #waiting = new Map<string, Attempt>()

  add (record: LoginStepRecord): void {
    const attempt = this.#find(record) ?? this.#begin(record)
    if (attempt === undefined) return
    attempt.steps.push(record)
    for (const name of ['clientId', 'clientName', 'clientKind', 'redirectHost'] as const) {
      Object.assign(attempt, record[name] !== undefined && { [name]: record[name] })
    }
    for (const link of record.links) this.#byLink.set(link, attempt)
    this.#attempts.delete(attempt)
    this.#attempts.add(attempt)
  }

  lastFirst (): Attempt[] {
    return [...this.#attempts].reverse()
  }

  #find (record: LoginStepRecord): Attempt | undefined {
    const linked = record.links.map(link => this.#byLink.get(link)).find(attempt => attempt !== undefined)
    if (linked !== undefined) return linked
    const { step, clientId } = record
    if (step === 'registration') return undefined
    if (step !== 'authorization') return this.#waiting.get(failureKey(record))
    const key = joinKey('registration', clientId)
    const registered = this.#waiting.get(key)
    this.#waiting.delete(key)
    return registered
  }

  /** A new attempt; undefined if the beginning of the attempt is older than what is kept. */
  #begin (record: LoginStepRecord): Attempt | undefined {
    const { step, clientId, failure } = record
    const attempt = { steps: [] }
    if (step === 'authorization') return attempt
    if (step !== 'registration' && failure === undefined) return undefined
    this.#waiting.set(step === 'registration' ? joinKey(step, clientId) : failureKey(record), attempt)
    return attempt
  }
}

function failureKey ({ step, clientId, failure }: LoginStepRecord): string {
  return joinKey(step, clientId, failure?.code, failure?.reason)
}

/**
 * Groups requests into visits, the last one first: those of one address and `User-Agent` without a long pause between.
 * Many people may be behind one address, so a visit is not necessarily one program.
 * @param requests the oldest first
 */
export function groupVisits (requests: readonly LoginVisitRecord[]): Visit[] {
  const visits = new Set<Visit>()
  const last = new Map<string, Visit>()
  for (const request of requests) {
    const { address, userAgent, at } = request
    const key = joinKey(address, userAgent)
    let visit = last.get(key)
    if (visit === undefined || at - (visit.requests.at(-1)?.at ?? 0) > VISIT_PAUSE_MS) {
      visit = { address, userAgent, requests: [] }
    }
    visit.requests.push(request)
    last.set(key, visit)
    visits.delete(visit)
    visits.add(visit)
  }
  return [...visits].reverse()
}

function joinKey (...parts: Array<string | undefined>): string {
  return JSON.stringify(parts)
}
