import type { IncomingHttpHeaders } from 'node:http'
import type { Findings } from './findings.js'

const MAX_SKEW_SECONDS = 30

/** Compares a server's clock (`Date`, RFC 9110 6.6.1) with this one: tokens start and expire by it. */
export function examineClock (findings: Findings, check: string, who: string, { date }: IncomingHttpHeaders): void {
  if (date === undefined) return
  const skew = Math.round((Date.parse(date) - Date.now()) / 1000)
  if (Number.isNaN(skew)) return
  if (Math.abs(skew) <= MAX_SKEW_SECONDS) findings.ok(check, `the clock of ${who} agrees with this machine's`)
  else {
    findings.fail(
      check,
      `the clock of ${who} is ${Math.abs(skew)} s ${skew > 0 ? 'ahead of' : 'behind'} this machine's`,
      'Let both keep their clocks by NTP: tokens are refused before they begin and after they end.'
    )
  }
}
