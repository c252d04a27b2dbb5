import type { LoginStepRecord, LoginVisitRecord } from '../../stores/attempts.js'

/** One attempt to log in, with its steps in the order they came. */
export interface Attempt extends Pick<LoginStepRecord, 'clientId' | 'clientName' | 'clientKind' | 'redirectHost'> {
  steps: LoginStepRecord[]
}

/** What one program at one address asked in one go. */
export interface Visit extends Pick<LoginVisitRecord, 'address' | 'userAgent'> {
  requests: LoginVisitRecord[]
}

// a pause this long begins another visit
const VISIT_PAUSE_MS = 300_000

/**
 * Puts steps together to attempts, the last one first. Only what is certain counts: a registration and an authorization
 * request have the client id in common, all further steps a link. A failure that leads nowhere stands by itself.
 * @param steps the oldest first
 */
export function groupSteps (steps: readonly LoginStepRecord[]): Attempt[] {
  const attempts = new Set<Attempt>()
  const byLink = new Map<string, Attempt>()
  /** Registrations that no authorization request has followed yet, and failures of no known attempt. */
  const waiting = new Map<string, Attempt>()

  const attemptFor = (record: LoginStepRecord): Attempt | undefined => {
    const linked = record.links.map(link => byLink.get(link)).find(attempt => attempt !== undefined)
    if (linked !== undefined) return linked
    const { step, clientId, failure } = record
    if (step === 'registration') return undefined
    const key = step === 'authorization'
      ? joinKey('registration', clientId)
      : joinKey(step, clientId, failure?.code, failure?.reason)
    const found = waiting.get(key)
    if (step === 'authorization') waiting.delete(key)
    return found
  }

  for (const record of steps) {
    const { step, links, failure, clientId } = record
    let attempt = attemptFor(record)
    if (attempt === undefined) {
      // its beginning is older than what is kept
      if (step !== 'registration' && step !== 'authorization' && failure === undefined) continue
      attempt = { steps: [] }
      if (step === 'registration') waiting.set(joinKey(step, clientId), attempt)
      else if (step !== 'authorization') waiting.set(joinKey(step, clientId, failure?.code, failure?.reason), attempt)
    }
    attempt.steps.push(record)
    for (const name of ['clientId', 'clientName', 'clientKind', 'redirectHost'] as const) {
      Object.assign(attempt, record[name] !== undefined && { [name]: record[name] })
    }
    for (const link of links) byLink.set(link, attempt)
    // moved to the end: the last to change
    attempts.delete(attempt)
    attempts.add(attempt)
  }
  return [...attempts].reverse()
}

/**
 * Puts requests together to visits, the last one first: those of one address and `User-Agent`, without a long pause. That
 * is what was seen, and no more: many people may be behind one address.
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
