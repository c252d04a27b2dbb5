import { domainToASCII } from 'node:url'
import { getMember } from '../members.js'
import type { ClaimRule, PeopleRule } from './rules.js'

/** What a login server says of a person; `sub` is the subject. */
export type Claims = Readonly<Record<string, unknown>>

/** Whether a rule is about a person, and the part of it that decided. */
export interface Match {
  holds: boolean
  /** For operators: `groups: mcp-users`, `emails: the address is not verified`. */
  why: string
  /** The parts of the rule that decided, each as a path in it: `groups`, `mcp-users`. */
  at: ReadonlyArray<readonly string[]>
}

export interface MatchOptions {
  /** Whether an address counts although the login server does not say that it has verified it. */
  trustEmails: boolean
}

/** Whether a rule is about a person. */
export function matchPerson (rule: PeopleRule, claims: Claims, options: MatchOptions): Match {
  const { emails, emailDomains, subjects, groups, claims: claimRules = [] } = rule
  const whys: string[] = []
  const at: Array<readonly string[]> = []
  if (emails !== undefined || emailDomains !== undefined || subjects !== undefined) {
    const identity = matchIdentity(rule, claims, options)
    if (!identity.holds) return identity
    whys.push(identity.why)
    at.push(...identity.at)
  }
  if (groups !== undefined) {
    const held = groups.find(group => groupsOf(claims).includes(group))
    if (held === undefined) return { holds: false, why: `groups: none of ${groups.join(', ')}`, at: [['groups']] }
    whys.push(`groups: ${held}`)
    at.push(['groups', held])
  }
  for (const claimRule of claimRules) {
    const text = describeClaimRule(claimRule)
    if (!holdsClaim(claimRule, claims)) {
      return { holds: false, why: `claims: ${text} does not hold`, at: [['claims', text]] }
    }
    whys.push(`claims: ${text}`)
    at.push(['claims', text])
  }
  return { holds: true, why: whys.length === 0 ? 'everybody' : whys.join('; '), at }
}

/** The names of the claims that a rule looks at, besides the subject; of a path, the whole. */
export function findClaimNames (
  { emails, emailDomains, groups, claims = [] }: PeopleRule,
  { trustEmails }: MatchOptions
): string[] {
  const address = trustEmails ? ['email'] : ['email', 'email_verified']
  return [
    ...emails === undefined && emailDomains === undefined ? [] : address,
    ...groups === undefined ? [] : ['groups'],
    ...claims.map(({ claim }) => claim).filter(claim => claim !== 'sub')
  ]
}

/** Whether all of several rules are about a person; none is about everybody. */
export function matchAll (rules: readonly PeopleRule[], claims: Claims, options: MatchOptions): Match {
  const matches = rules.map(rule => matchPerson(rule, claims, options))
  const whys = matches.map(({ why }) => why)
  return matches.find(({ holds }) => !holds) ??
    { holds: true, why: whys.join('; ') || 'everybody', at: matches.flatMap(({ at }) => at) }
}

/** Whether one of the lists of persons names this one. */
function matchIdentity (rule: PeopleRule, claims: Claims, { trustEmails }: MatchOptions): Match {
  const { emails, emailDomains, subjects } = rule
  const { sub } = claims
  if (typeof sub === 'string' && subjects?.includes(sub) === true) {
    return { holds: true, why: `subjects: ${sub}`, at: [['subjects', sub]] }
  }
  if (emails === undefined && emailDomains === undefined) {
    return { holds: false, why: 'subjects: not among them', at: [['subjects']] }
  }
  const address = parseAddress(claims.email)
  const at = address && findAddress(rule, address)
  if (at === undefined) {
    const lists = ['emails', 'emailDomains', 'subjects'] as const
    return {
      holds: false,
      why: 'emails: the address is not allowed, or there is none',
      at: lists.filter(list => rule[list] !== undefined).map(list => [list])
    }
  }
  return trustEmails || isTrue(claims.email_verified)
    ? { holds: true, why: at.join(': '), at: [at] }
    : { holds: false, why: 'emails: the login server does not say that the address is verified', at: [at] }
}

function findAddress ({ emails, emailDomains }: PeopleRule, address: Address): readonly string[] | undefined {
  const email = emails?.find(known => sameAddress(parseAddress(known), address))
  if (email !== undefined) return ['emails', email]
  const domain = emailDomains?.find(name => domainToASCII(name) === address.domain)
  return domain === undefined ? undefined : ['emailDomains', domain]
}

// Cognito and others write it as a text
function isTrue (claim: unknown): boolean {
  return claim === true || claim === 'true'
}

interface Address {
  local: string
  domain: string
}

/** Undefined for what is not plainly one address: a quoted or repeated `@` may mean another domain to somebody else. */
function parseAddress (email: unknown): Address | undefined {
  if (typeof email !== 'string') return undefined
  const [local = '', domain = '', ...others] = email.split('@')
  const ascii = domainToASCII(domain)
  if (local === '' || ascii === '' || others.length > 0 || /[\s"(),:;<>[\\\]\p{Cc}]/u.test(email)) return undefined
  // only ASCII has one lower case everywhere: the Kelvin sign is not a k
  return { local: local.replace(/[A-Z]/g, letter => letter.toLowerCase()), domain: ascii }
}

function sameAddress (one: Address | undefined, other: Address): boolean {
  return one?.local === other.local && one.domain === other.domain
}

function groupsOf ({ groups }: Claims): readonly unknown[] {
  if (Array.isArray(groups)) return groups
  return groups === undefined ? [] : [groups]
}

function holdsClaim (rule: ClaimRule, claims: Claims): boolean {
  const value = findClaim(claims, rule.claim)
  if ('is' in rule) return isPlain(value) && String(value) === String(rule.is)
  if (typeof value === 'string') return value.split(' ').includes(rule.contains)
  return Array.isArray(value) && value.includes(rule.contains)
}

function isPlain (value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

/** A claim by its name or, inside an object, its path. The whole name goes first: names of claims may be URLs. */
export function findClaim (claims: Claims, name: string): unknown {
  const whole = getMember(claims, name)
  if (whole !== undefined) return whole
  return name.split('.').reduce<unknown>((value, part) => getMember(value, part), claims)
}

/** In the form of the environment: `hd=example.com`, `groups~mcp-users`. */
export function describeClaimRule (rule: ClaimRule): string {
  return 'is' in rule ? `${rule.claim}=${rule.is}` : `${rule.claim}~${rule.contains}`
}

/** In words, what `parseClaimRule` takes. */
export const CLAIM_RULE = 'claim=value, or claim~value for a list that contains it'

/** A rule in the form of the environment and of policy files; undefined if it is not one. */
export function parseClaimRule (text: string): ClaimRule | undefined {
  const [, name = '', sign, value = ''] = /^([^=~]+)([=~])(.+)$/.exec(text) ?? []
  const claim = name.trim()
  const wanted = value.trim()
  if (claim === '' || wanted === '') return undefined
  return sign === '=' ? { claim, is: wanted } : { claim, contains: wanted }
}
