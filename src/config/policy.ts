import { ConfigError } from '../errors.js'
import { EMAIL_ADDRESS, EMAIL_DOMAIN, isEmailAddress, isEmailDomain } from '../policy/check-rules.js'
import { CLIENT_PATTERN, isClientPattern } from '../policy/clients.js'
import { CLAIM_RULE, parseClaimRule } from '../policy/people.js'
import type { CallLimits, ClaimRule, ClientRules, PeopleRule, PolicyRules } from '../policy/rules.js'
import { quoted } from '../validation/check.js'
import { ADMIN_TOKEN, isAdminToken } from '../validation/values.js'
import type { Environment } from './environment.js'
import { checkList, split } from './values.js'

/**
 * The rules of a policy that the environment names; undefined if it names none.
 * @throws {ConfigError} with one line that names the variable, what it got and what it takes
 */
export function parsePolicy (env: Environment): PolicyRules | undefined {
  const login: PeopleRule = {
    ...parseList('emails', 'ALLOWED_EMAILS', env.ALLOWED_EMAILS, isEmailAddress, EMAIL_ADDRESS),
    ...parseList('emailDomains', 'ALLOWED_EMAIL_DOMAINS', env.ALLOWED_EMAIL_DOMAINS, isEmailDomain, EMAIL_DOMAIN),
    ...parseList('subjects', 'ALLOWED_SUBJECTS', env.ALLOWED_SUBJECTS),
    ...parseList('groups', 'ALLOWED_GROUPS', env.ALLOWED_GROUPS),
    ...env.REQUIRED_CLAIMS !== undefined && { claims: parseClaimRules(env.REQUIRED_CLAIMS) }
  }
  const limits = toCallLimits(env)
  const clients: ClientRules = {
    ...env.DYNAMIC_REGISTRATION !== 'open' && { registration: env.DYNAMIC_REGISTRATION },
    ...parseList('allowed', 'ALLOWED_CLIENTS', env.ALLOWED_CLIENTS, isClientPattern, CLIENT_PATTERN)
  }
  const rules: PolicyRules = {
    ...Object.keys(clients).length > 0 && { clients },
    ...Object.keys(login).length > 0 && { login },
    ...env.TRUST_EMAILS && { trustEmails: true },
    ...Object.keys(limits).length > 0 && { limits }
  }
  return Object.keys(rules).length > 0 ? rules : undefined
}

function toCallLimits (env: Environment): CallLimits {
  const { RATE_LIMIT_CALLS_PER_MINUTE: callsPerMinute, RATE_LIMIT_CALLS_PER_DAY: callsPerDay } = env
  const { CONCURRENT_CALLS_PER_PERSON: concurrentCalls } = env
  return {
    ...callsPerMinute !== undefined && { callsPerMinute },
    ...callsPerDay !== undefined && { callsPerDay },
    ...concurrentCalls !== undefined && { concurrentCalls }
  }
}

function parseList<K extends 'allowed' | 'emails' | 'emailDomains' | 'subjects' | 'groups'> (
  rule: K,
  name: string,
  value: string | undefined,
  isValid: (item: string) => boolean = () => true,
  accepts = ''
): { [name in K]?: string[] } {
  if (value === undefined) return {}
  const items = [...new Set(checkList(name, splitSome(name, value), isValid, accepts))]
  const list: { [name in K]?: string[] } = {}
  list[rule] = items
  return list
}

function parseClaimRules (value: string): ClaimRule[] {
  return splitSome('REQUIRED_CLAIMS', value).map(text => {
    const rule = parseClaimRule(text)
    if (rule === undefined) throw new ConfigError(`REQUIRED_CLAIMS has ${quoted(text)}; it takes ${CLAIM_RULE}.`)
    return rule
  })
}

/**
 * Tokens with which clients may register.
 * @throws {ConfigError} their values are not shown
 */
export function parseInitialAccessTokens (env: Environment): string[] {
  const { DYNAMIC_REGISTRATION: registration, INITIAL_ACCESS_TOKENS: value } = env
  const tokens = split(value ?? '', ',')
  if (registration === 'token' && tokens.length === 0) {
    throw new ConfigError('INITIAL_ACCESS_TOKENS is not set; DYNAMIC_REGISTRATION=token needs it.')
  }
  if (!tokens.every(isAdminToken)) throw new ConfigError(`INITIAL_ACCESS_TOKENS is not valid; it takes ${ADMIN_TOKEN}.`)
  return tokens
}

/** A list that names nobody would lock out everybody, or nobody: neither can be meant. */
function splitSome (name: string, value: string): string[] {
  const items = split(value, ',')
  if (items.length === 0) throw new ConfigError(`${name} is ${quoted(value)}; it takes at least one, comma-separated.`)
  return items
}
