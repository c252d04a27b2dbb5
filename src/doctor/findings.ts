/** What a check found. */
export interface Finding {
  level: 'ok' | 'warning' | 'error'
  /** What was looked at, such as `issuer`. */
  check: string
  says: string
  /** What to do about it. */
  fix?: string
}

/** Collects what is found, and tells of it at once. */
export class Findings {
  readonly all: Finding[] = []
  readonly #tell: (finding: Finding) => void

  constructor (tell: (finding: Finding) => void = () => {}) {
    this.#tell = tell
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

  /** Adds that a check is fine, where nothing has been found wrong with it. */
  okUnlessFound (check: string, says: string): void {
    if (!this.all.some(finding => finding.check === check)) this.ok(check, says)
  }

  #add (finding: Finding): void {
    this.all.push(finding)
    this.#tell(finding)
  }
}

const MARKS = { ok: '✓', warning: '!', error: '✗' } as const

/** A finding as lines of text. */
export function formatFinding ({ level, check, says, fix }: Finding): string {
  return `${MARKS[level]} ${check}: ${says}\n${fix === undefined ? '' : `    ${fix}\n`}`
}
