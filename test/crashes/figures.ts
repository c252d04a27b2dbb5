import type { Counts } from './load.js'

export interface Figures {
  rounds: number
  /** What was answered before the process was killed. */
  answered: Counts
  /** Rounds in which the process had a request of this kind, and was killed before its response. */
  underWay: Counts
  /** Work that got no response. */
  unanswered: number
  /** What was tried afterwards. */
  accessTokens: number
  refreshTokens: number
  retried: number
  usedCodes: number
  unansweredCodes: number
  rotatedInTime: number
  rotatedLate: number
  /** What did not hold. */
  faults: string[]
}

export const newFigures = (): Figures => ({
  rounds: 0,
  answered: { logins: 0, rotations: 0, refreshes: 0 },
  underWay: { logins: 0, rotations: 0, refreshes: 0 },
  unanswered: 0,
  accessTokens: 0,
  refreshTokens: 0,
  retried: 0,
  usedCodes: 0,
  unansweredCodes: 0,
  rotatedInTime: 0,
  rotatedLate: 0,
  faults: []
})
