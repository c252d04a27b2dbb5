import * as z from 'zod'
import { isScopeToken, SCOPE } from '../../validation/values.js'
import { EMAIL_ADDRESS, EMAIL_DOMAIN, isEmailAddress, isEmailDomain } from '../check-rules.js'
import { CLIENT_PATTERN, isClientPattern } from '../clients.js'
import { CLAIM_RULE, parseClaimRule } from '../people.js'
import { toResourceFit } from '../resource-patterns.js'
import type { CallLimits, ClaimRule, LimitRules, PeopleRule, PolicyRules } from '../rules.js'

/*
 * A policy file: the rules of a policy, in the names that are usual in YAML. The message of each error is what is
 * taken there, in words; describe-issue.ts makes a sentence of it.
 */

const PATTERNS = 'a list of one or more names or patterns, such as ["get_*", "!get_secret"]'
const COUNT = 'a whole number from 0'

function text (takes: string, isValid: (value: string) => boolean = value => value.trim() !== '') {
  return z.string(takes).refine(isValid, takes)
}

function list<T extends z.ZodType> (item: T, takes: string, { least = 1 } = {}) {
  return z.array(item, takes).min(least, takes).superRefine((items, { addIssue }) => {
    for (const [index, value] of items.entries()) {
      if (items.indexOf(value) < index) addIssue({ code: 'custom', path: [index], message: 'each once' })
    }
  })
}

/** An object without other members; for unknown ones, the message has those that there are. */
function object<S extends z.ZodRawShape> (shape: S, takes: string) {
  return z.strictObject(shape, {
    error: ({ code }) => code === 'unrecognized_keys' ? Object.keys(shape).filter(isRule).join(' ') : takes
  })
}

// `$schema` is for editors
const isRule = (name: string) => !name.startsWith('$')

const claimRule = text(CLAIM_RULE, value => parseClaimRule(value) !== undefined)
  .transform((value): ClaimRule => parseClaimRule(value) ?? { claim: value, is: true })

const people = object({
  emails: z.exactOptional(list(text(EMAIL_ADDRESS, isEmailAddress), 'a list of one or more e-mail addresses')),
  email_domains: z.exactOptional(list(text(EMAIL_DOMAIN, isEmailDomain), 'a list of one or more domains')),
  subjects: z.exactOptional(list(text('a text (a number in quotes)'), 'a list of one or more subjects')),
  groups: z.exactOptional(list(text('a text (a number in quotes)'), 'a list of one or more groups')),
  claims: z.exactOptional(
    z.array(claimRule, `a list of rules: ${CLAIM_RULE}`).min(1, `a list of one or more rules: ${CLAIM_RULE}`)
  )
}, 'an object with emails, email_domains, subjects, groups or claims')
  .transform(({ email_domains: emailDomains, ...others }): PeopleRule => ({
    ...others,
    ...emailDomains && { emailDomains }
  }))
  .describe(
    'Of emails, email_domains and subjects, one must hold; groups (one of them) and claims (all) must hold besides'
  )

const names = list(text('a name or pattern'), PATTERNS)
const resourceNames = list(
  text('a URI, a URI template or a pattern with *, but not a template with *', isResourcePattern),
  'a list of one or more URIs, URI templates or patterns, such as ["note://*"]'
)
const patterns = {
  tools: z.exactOptional(names.describe('Names or patterns of tools; ! takes back')),
  resources: z.exactOptional(resourceNames.describe('URIs, URI templates or patterns of resources; ! takes back')),
  prompts: z.exactOptional(names.describe('Names or patterns of prompts; ! takes back'))
}
const primitives = object(patterns, 'an object with tools, resources or prompts')

const count = z.exactOptional(z.int(COUNT).min(0, COUNT))
const calls = { calls_per_minute: count, calls_per_day: count, concurrent_calls: count }
const toCallLimits = (
  { calls_per_minute: callsPerMinute, calls_per_day: callsPerDay, concurrent_calls: concurrentCalls }: {
    calls_per_minute?: number
    calls_per_day?: number
    concurrent_calls?: number
  }
): CallLimits => ({
  ...callsPerMinute !== undefined && { callsPerMinute },
  ...callsPerDay !== undefined && { callsPerDay },
  ...concurrentCalls !== undefined && { concurrentCalls }
})
const CALLS = 'an object with calls_per_minute, calls_per_day or concurrent_calls'
const callLimits = object(calls, CALLS).transform(toCallLimits)
const limits = object({
  ...calls,
  tools: z.exactOptional(
    z.record(text('a name or pattern'), callLimits, 'an object: tool -> limits')
      .describe('By name or pattern of the tool; the first that fits counts')
  )
}, `${CALLS}, or tools`)
  .transform(({ tools, ...others }): LimitRules => ({ ...toCallLimits(others), ...tools && { tools } }))
  .describe('How much one person may use the service. 0: nothing; absent: no limit')

const clients = object({
  registration: z.exactOptional(z.enum(['open', 'token', 'off'], 'open, token or off')),
  allowed: z.exactOptional(list(text(CLIENT_PATTERN, isClientPattern), 'a list of one or more clients'))
}, 'an object with registration or allowed')

/**
 * The schema of a policy file.
 * @param scopes those that there are. Absent: any
 */
export function policyFileSchema (scopes?: readonly string[]) {
  const takes = scopes === undefined ? SCOPE : `one of MCP_SCOPES: ${scopes.join(' ')}`
  const scope = text(takes, value => scopes === undefined ? isScopeToken(value) : scopes.includes(value))
  const role = object({
    people: z.exactOptional(people),
    scopes: z.exactOptional(list(scope, 'a list of scopes', { least: 0 }).describe('Scopes that they may have')),
    ...patterns,
    limits: z.exactOptional(limits)
  }, 'an object with people, scopes, tools, resources, prompts or limits')
    .describe('What people with the role may do; without people, everybody has it')
  return object({
    $schema: z.exactOptional(z.string('the URL of a schema')),
    login: z.exactOptional(
      z.union([people, z.array(people, 'a list of rules').min(1, 'a list of one or more rules')]).describe(
        'Who may log in; of several rules, all must hold. Absent: everybody whom the login server lets in'
      )
    ),
    clients: z.exactOptional(clients.describe('Which clients may register, and be used')),
    trust_emails: z.exactOptional(z.boolean('true or false')).describe(
      'Whether an address counts as verified although the login server does not say so'
    ),
    roles: z.exactOptional(record(text('a name'), role, 'an object with one or more roles: name -> what it may do')),
    scopes: z.exactOptional(record(scope, primitives, 'an object: scope -> what needs it')),
    public: z.exactOptional(primitives.describe('What may be listed and used without logging in')),
    refusal: z.exactOptional(z.enum(['unknown', 'forbidden'], 'unknown or forbidden').describe(
      'The response to a call of something that the person may not use: that there is no such thing, or 403'
    )),
    limits: z.exactOptional(limits),
    client_limits: z.exactOptional(
      callLimits.describe('How much one client may use the service, for all of its people together')
    )
  }, 'an object with login, clients, trust_emails, roles, scopes, public, refusal, limits or client_limits')
    .transform(({ $schema: _, trust_emails: trustEmails, client_limits: clientLimits, ...others }): PolicyRules => ({
      ...others,
      ...trustEmails !== undefined && { trustEmails },
      ...clientLimits && { clientLimits }
    }))
}

/** An object of any names; an empty one would mean that nothing is allowed, and is a mistake. */
function record<K extends z.ZodType<string, string>, V extends z.ZodType> (key: K, value: V, takes: string) {
  return z.record(key, value, takes).refine(members => Object.keys(members).length > 0, takes)
}

function isResourcePattern (pattern: string): boolean {
  if (pattern.trim() === '') return false
  const allows = !pattern.startsWith('!')
  try {
    toResourceFit(allows ? pattern : pattern.slice(1), allows)
    return true
  } catch {
    return false
  }
}

/** The JSON Schema of a policy file, for editors. */
export function policyFileJsonSchema (): object {
  return z.toJSONSchema(policyFileSchema(), { target: 'draft-7', io: 'input' })
}
