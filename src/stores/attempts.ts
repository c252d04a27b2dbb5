import type { FailureReason } from '../errors.js'

/** The steps of a login that are kept. */
export type LoginStepName =
  | 'registration'
  | 'authorization'
  | 'consent'
  | 'upstream'
  | 'callback'
  | 'token'
  | 'refresh'
  | 'call'

/** Why a step failed, for operators. Long words that may be secrets are left out of its texts. */
export interface StepFailure {
  code: string
  reason?: FailureReason
  message: string
  detail?: string
}

/** One step of a login, as it went. Plain JSON; nothing in it is secret. */
export interface LoginStepRecord {
  step: LoginStepName
  /** Milliseconds since the epoch. */
  at: number
  /** Beginnings of hashes. Steps that share one belong to the same login. */
  links: string[]
  /** Absent where it went well. */
  failure?: StepFailure
  /** What the client's metadata contained that was not taken, and why. */
  dropped?: string[]
  clientId?: string
  clientName?: string
  clientKind?: 'registered' | 'preregistered' | 'document'
  /** Where the answer is to go: a host, or the scheme of an app. */
  redirectHost?: string
}

/** What programs ask before there is a login that it could belong to. */
export type LoginVisitRequest =
  | 'challenge'
  | 'token-refused'
  | 'resource-metadata'
  | 'server-metadata'
  | 'registration'
  | 'token'

/** A request of some program. Plain JSON. */
export interface LoginVisitRecord {
  request: LoginVisitRequest
  /** Milliseconds since the epoch. */
  at: number
  status: number
  address: string
  userAgent: string
}

/** Keeps the last entries, as many and as long as it is bounded to. */
export interface RecentLog<T> {
  append (entry: T): Promise<void>
  /** @returns all, the oldest first */
  read (): Promise<T[]>
}

/** Bounds of a `RecentLog`. */
export interface RecentLogBounds {
  maxEntries: number
  maxAgeSeconds: number
}

/** A login takes 5 to 9 steps: about the last 500 logins, of a day. */
export const STEP_BOUNDS: RecentLogBounds = { maxEntries: 4000, maxAgeSeconds: 86_400 }
export const VISIT_BOUNDS: RecentLogBounds = { maxEntries: 1000, maxAgeSeconds: 86_400 }
