import type { PolicyRules } from '../rules.js'
import { describeIssue } from './describe-issue.js'
import { YamlDocument, type Path } from './document.js'
import { PolicyFileError, type Fault, type Position } from './faults.js'
import { policyFileSchema } from './schema.js'

/** The names of rules, as in code, that a file spells differently. */
export const SPELLED: Readonly<Record<string, string>> = {
  emailDomains: 'email_domains',
  trustEmails: 'trust_emails',
  callsPerMinute: 'calls_per_minute',
  callsPerDay: 'calls_per_day',
  concurrentCalls: 'concurrent_calls',
  clientLimits: 'client_limits'
}

/** The rules of a policy file. */
export interface PolicyFile {
  /** Its name, as in messages. */
  name: string
  rules: PolicyRules
  /** Where a rule stands: a path of `PolicyRules`, at its end perhaps an item of a list. */
  locate (path: Path): Position | undefined
}

/**
 * Reads the text of a policy file: YAML, or JSON.
 * @param name of the file, for messages
 * @param scopes those that there are. Absent: any
 * @throws {PolicyFileError} which has every fault, with line and column
 */
export function parsePolicyFile (name: string, text: string, scopes?: readonly string[]): PolicyFile {
  const document = new YamlDocument(text)
  throwFaults(name, document.faults)
  const value = toValue(name, document)
  // a file that an editor has emptied must not mean that everybody may do everything
  if (value === undefined || value === null) {
    throw new PolicyFileError(name, [{ says: 'the file is empty; it takes an object of rules, at least {}' }])
  }
  const parsed = policyFileSchema(scopes).safeParse(value)
  if (!parsed.success) {
    const faults = parsed.error.issues.flatMap(issue => describeIssue(issue, value))
      .map(({ path, says }) => ({ says, at: document.locate(path) ?? { line: 1, column: 1 } }))
    throwFaults(name, faults.toSorted((a, b) => a.at.line - b.at.line || a.at.column - b.at.column))
    throw parsed.error
  }
  return { name, rules: parsed.data, locate: path => document.locate(path, SPELLED) }
}

function toValue (name: string, document: YamlDocument): unknown {
  try {
    return document.toValue()
  } catch (error) {
    const says = error instanceof Error ? error.message : String(error)
    throw new PolicyFileError(name, [{ says: `the aliases cannot be resolved: ${says}` }])
  }
}

function throwFaults (name: string, faults: readonly Fault[]): void {
  const [first, ...others] = faults
  if (first !== undefined) throw new PolicyFileError(name, [first, ...others])
}
