import { ConfigError } from '../../errors.js'

/** Where something stands in a file; both count from 1. */
export interface Position {
  line: number
  column: number
}

/** What is wrong in a policy file, and where; without a position: with the file as a whole. */
export interface Fault {
  at?: Position
  says: string
}

/** A policy file that cannot be used: its message is the first fault, on one line. */
export class PolicyFileError extends ConfigError {
  /** Every fault, each as one line that begins with the file. */
  readonly lines: readonly [string, ...string[]]

  constructor (file: string, faults: readonly [Fault, ...Fault[]]) {
    const [first, ...others] = faults
    const lines: [string, ...string[]] = [formatFault(file, first), ...others.map(fault => formatFault(file, fault))]
    super(others.length === 0 ? lines[0] : `${lines[0]} (${others.length} more: fastify-mcp-oauth policy check)`)
    this.lines = lines
  }
}

/** As compilers write it, so that editors and terminals find the place: `policy.yaml:12:5`. */
export function formatPosition (file: string, at: Position | undefined): string {
  return at === undefined ? file : `${file}:${at.line}:${at.column}`
}

function formatFault (file: string, { at, says }: Fault): string {
  return `${formatPosition(file, at)}: ${says}`
}
