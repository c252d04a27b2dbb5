import { Type, type TSchema } from '@sinclair/typebox'
import { domainToASCII } from 'node:url'
import type {
  CallLimits,
  ClaimRule,
  ClientRules,
  LimitRules,
  PeopleRule,
  PolicyRules,
  PrimitivePatterns,
  RoleRules
} from './rules.js'
import { CLIENT_PATTERN, isClientPattern } from './clients.js'
import { isObject } from '../members.js'
import { checkOptions } from '../validation/check.js'
import {
  checked,
  choiceSchema,
  countOrNone,
  flag,
  listSchema,
  objectSchema,
  optional,
  optionSchemas,
  scope,
  someText,
  textThat
} from '../validation/schemas.js'

/* What rules of a policy may be, from a file, from the environment or in code. */

/** In words, what `isEmailAddress` takes. */
export const EMAIL_ADDRESS = 'an e-mail address such as ann@example.com'
/** In words, what `isEmailDomain` takes. */
export const EMAIL_DOMAIN = 'a domain such as example.com, without @ and *; subdomains are named one by one'

/** Whether somebody can have this address: one `@`, and a domain after it. */
export function isEmailAddress (value: string): boolean {
  const [local = '', domain = '', ...others] = value.split('@')
  return local !== '' && others.length === 0 && !/[\s*"(),:;<>[\\\]\p{Cc}]/u.test(value) && isEmailDomain(domain)
}

/** Whether this is one domain, in Unicode or in Punycode. */
export function isEmailDomain (value: string): boolean {
  return !/[\s@*\p{Cc}]/u.test(value) && /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(domainToASCII(value))
}

const atLeastOne = { minItems: 1 }
const names = listSchema(someText, 'a list of one or more texts, each once', atLeastOne)

const claimRule = checked<ClaimRule>(
  { takes: 'the rule of a claim: an object with claim, and either is or contains' },
  value => {
    if (!isObject(value) || Object.keys(value).length !== 2) return false
    const { claim, is, contains } = value
    if (typeof claim !== 'string' || claim === '') return false
    return typeof contains === 'string' ? contains !== '' : ['string', 'number', 'boolean'].includes(typeof is)
  }
)

/** Which people a rule is about. */
export const peopleRule = objectSchema(
  optionSchemas<PeopleRule>()({
    emails: optional(
      listSchema(
        textThat({ takes: EMAIL_ADDRESS }, isEmailAddress),
        'a list of one or more e-mail addresses, each once',
        atLeastOne
      )
    ),
    emailDomains: optional(
      listSchema(
        textThat({ takes: EMAIL_DOMAIN }, isEmailDomain),
        'a list of one or more domains, each once',
        atLeastOne
      )
    ),
    subjects: optional(names),
    groups: optional(names),
    claims: optional(listSchema(claimRule, 'a list of one or more rules of claims', atLeastOne))
  }),
  'an object with emails, emailDomains, subjects, groups or claims'
)

const patterns = optionSchemas<PrimitivePatterns>()({
  tools: optional(names),
  resources: optional(names),
  prompts: optional(names)
})
const primitives = objectSchema(patterns, 'an object with tools, resources or prompts')

const callLimits = optionSchemas<CallLimits>()({
  callsPerMinute: optional(countOrNone),
  callsPerDay: optional(countOrNone),
  concurrentCalls: optional(countOrNone)
})
const limits = objectSchema(
  optionSchemas<LimitRules>()({
    ...callLimits,
    tools: optional(recordOf<CallLimits>(objectSchema(callLimits, 'an object of limits'), 'an object: tool -> limits'))
  }),
  'an object of limits'
)

const role = objectSchema(
  optionSchemas<RoleRules>()({
    ...patterns,
    people: optional(peopleRule),
    scopes: optional(listSchema(scope, 'a list of scopes, each once')),
    limits: optional(limits)
  }),
  'an object with people, scopes, tools, resources, prompts or limits'
)

const clients = objectSchema(
  optionSchemas<ClientRules>()({
    registration: optional(choiceSchema('open', 'token', 'off')),
    allowed: optional(
      listSchema(
        textThat({ takes: CLIENT_PATTERN }, isClientPattern),
        'a list of one or more clients, each once',
        atLeastOne
      )
    )
  }),
  'an object with registration or allowed'
)

/** The rules of a policy; what stands in a list of `login` is checked one by one. */
export const policyRules = objectSchema(
  optionSchemas<PolicyRules>()({
    login: optional(
      checked<NonNullable<PolicyRules['login']>>(
        { takes: 'the rule of who may log in, or a list of those that must all hold' },
        value => isObject(value) || (Array.isArray(value) && value.length > 0)
      )
    ),
    clients: optional(clients),
    trustEmails: optional(flag),
    roles: optional(recordOf<RoleRules>(role, 'an object: name of a role -> what people with it may do')),
    scopes: optional(recordOf<PrimitivePatterns>(primitives, 'an object: scope -> what needs it')),
    public: optional(primitives),
    refusal: optional(choiceSchema('unknown', 'forbidden')),
    limits: optional(limits),
    clientLimits: optional(objectSchema(callLimits, 'an object of limits'))
  }),
  'an object of rules'
)

/**
 * Checks the rules of a policy.
 * @param subject whose rules they are, such as `mcpService` or the name of a file
 * @param path where they stand, such as `policy`; empty: at the top
 * @throws {ConfigError} with one line that names the rule, what it got and what it takes
 */
export function checkPolicyRules (subject: string, rules: PolicyRules, path = ''): void {
  checkOptions(subject, policyRules, rules, path)
  const { login } = rules
  const at = path === '' ? 'login' : `${path}.login`
  if (!Array.isArray(login)) return login && checkOptions(subject, peopleRule, login, at)
  for (const [index, rule] of login.entries()) checkOptions(subject, peopleRule, rule, `${at}[${index}]`)
}

function recordOf<T> (values: TSchema, takes: string) {
  return Type.Unsafe<Readonly<Record<string, T>>>(Type.Record(Type.String(), values, { takes }))
}
