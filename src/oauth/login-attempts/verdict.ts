/** What became of an attempt, in words, and what to do about it. */
export interface Verdict {
  outcome: 'good' | 'waiting' | 'failed'
  text: string
  advice?: string
}

/** What verdicts need to know of this service. */
export interface VerdictContext {
  /** Milliseconds since the epoch. */
  now: number
  publicUrl: string
  /** Where people log in. */
  loginHost: string
  /** Whether each client is registered upstream. */
  dynamic: boolean
}
