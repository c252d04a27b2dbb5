/** What a check found. */
export interface Finding {
  level: 'ok' | 'warning' | 'error'
  /** What was looked at, such as `issuer`. */
  check: string
  says: string
  /** What to do about it. */
  fix?: string
}

/** Collects findings, and reports each at once. */
export class Findings {
  readonly all: Finding[] = []
  readonly #report: (finding: Finding) => void

  constructor (report: (finding: Finding) => void = () => {}) {
    this.#report = report
  }

  ok (check: string, says: string): void {
    this.#add({ level: 'ok', check, says })
  }

  warn (check: string, says: string, fix: string): void {
    this.#add({ level: 'warning', check, says, fix })
  }

  fail (check: string, says: string, fix: string): void {
    this.#add({ level: 'error', check, says, fix })
  }

  /** Adds that a check is fine, unless it already has a finding. */
  okUnlessFound (check: string, says: string): void {
    if (!this.all.some(finding => finding.check === check)) this.ok(check, says)
  }

  #add (finding: Finding): void {
    this.all.push(finding)
    this.#report(finding)
  }
}

const MARKS = { ok: '✓', warning: '!', error: '✗' } as const

/** A finding as lines of text. */
export function formatFinding ({ level, check, says, fix }: Finding): string {
  return `${MARKS[level]} ${check}: ${says}\n${fix === undefined ? '' : `    ${fix}\n`}`
}
