import { findDeadRules } from '../../policy/dead-rules.js'
import type { PolicyRules } from '../../policy/rules.js'
import type { Findings } from '../../doctor/findings.js'

/**
 * Examines the rules of the policy: some can never match.
 * @param locate where a rule stands, for people
 */
export function examinePolicy (
  rules: PolicyRules,
  scopes: readonly string[],
  locate: (at: readonly string[]) => string,
  findings: Findings
): void {
  for (const { at, says } of findDeadRules(rules, scopes)) {
    findings.warn('policy', says, `Mend or remove it: ${locate(at)}.`)
  }
  findings.okUnlessFound('policy', 'every rule can match')
}
