import { describeClaimRule, matchPerson } from './people.js'
import type { ClaimRule, PeopleRule } from './rules.js'

/** Two parts of rules that must all hold, and cannot both, in words; undefined if no two are sure to. */
export function findContradiction (rules: readonly PeopleRule[]): readonly [string, string] | undefined {
  return findOtherValue(rules.flatMap(({ claims = [] }) => claims)) ?? findOthers(rules)
}

/** One claim that must have two values. */
function findOtherValue (claims: readonly ClaimRule[]): readonly [string, string] | undefined {
  const values = claims.filter(rule => 'is' in rule)
  for (const [index, one] of values.entries()) {
    const other = values.slice(index + 1).find(({ claim, is }) => claim === one.claim && String(is) !== String(one.is))
    if (other !== undefined) return [describeClaimRule(one), describeClaimRule(other)]
  }
  return undefined
}

/** Two lists of persons of whom none is in both. */
function findOthers (rules: readonly PeopleRule[]): readonly [string, string] | undefined {
  const listed = rules.filter(({ emails, emailDomains, subjects }) =>
    emails !== undefined || emailDomains !== undefined || subjects !== undefined
  )
  for (const [index, one] of listed.entries()) {
    const other = listed.slice(index + 1).find(other => areDisjoint(one, other))
    if (other !== undefined) return [describe(one), describe(other)]
  }
  return undefined
}

/** A subject may have any address: only lists of one sort can be compared. */
function areDisjoint (one: PeopleRule, other: PeopleRule): boolean {
  const bySubject = [one, other].map(({ subjects }) => subjects !== undefined)
  const byAddress = [one, other].map(({ emails, emailDomains }) => emails !== undefined || emailDomains !== undefined)
  if (bySubject.every(Boolean) && !byAddress.some(Boolean)) {
    return one.subjects?.some(subject => other.subjects?.includes(subject)) !== true
  }
  return byAddress.every(Boolean) && !bySubject.some(Boolean) && !shareAddress(one, other) && !shareAddress(other, one)
}

/** Whether an address of one, or any at its domains, is one of the other's. */
function shareAddress ({ emails = [], emailDomains = [] }: PeopleRule, other: PeopleRule): boolean {
  const { emails: _, ...domains } = other
  const isAmong = (rule: PeopleRule) => (email: string) => matchPerson(rule, { email }, { trustEmails: true }).holds
  return emails.some(isAmong(other)) ||
    (other.emailDomains !== undefined && emailDomains.map(domain => `anybody@${domain}`).some(isAmong(domains)))
}

function describe ({ emails = [], emailDomains = [], subjects = [] }: PeopleRule): string {
  return [...emails, ...emailDomains, ...subjects].slice(0, 3).join(', ')
}
