import { Type } from '@sinclair/typebox'
import { choice, flag, text } from './kinds.js'

// without a default: an empty list is one of nobody, and not the same as none
const list = (description: string) => Type.Optional(text(`${description} (comma-separated)`))
const callLimit = (description: string) =>
  Type.Optional(Type.Integer({ description, minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))

/** Who may log in, with which clients, do what, and how much. */
export const policyVariables = {
  DYNAMIC_REGISTRATION: choice(
    'Which clients may register (RFC 7591): open: all; token: those with one of INITIAL_ACCESS_TOKENS; off: none. ' +
      'CLIENT_METADATA_DOCUMENTS is about clients that do not register',
    'open',
    ['open', 'token', 'off']
  ),
  INITIAL_ACCESS_TOKENS: list('Tokens with which clients may register, of at least 16 characters'),
  ALLOWED_CLIENTS: list(
    'Clients that may be used: by the host of their metadata document, or the hosts of their redirect URIs ' +
      '(app.example.com; *.example.com for all names under a domain); loopback: programs on the person\'s machine; ' +
      'cursor: (a scheme with its colon): apps; or by client id. Default: all'
  ),
  ALLOWED_EMAILS: list(
    'People who may log in, by e-mail address, if the login server has verified it. Of this, ALLOWED_EMAIL_DOMAINS ' +
      'and ALLOWED_SUBJECTS, one must hold; ALLOWED_GROUPS and REQUIRED_CLAIMS must hold besides. Default: everybody ' +
      'whom the login server lets in'
  ),
  ALLOWED_EMAIL_DOMAINS: list(
    'Domains of e-mail addresses whose people may log in, without their subdomains: example.com'
  ),
  ALLOWED_SUBJECTS: list('People who may log in, by the claim that identifies them (OAUTH_SUBJECT_CLAIM)'),
  ALLOWED_GROUPS: list('Groups whose members may log in, by the claim groups; one of them is enough'),
  REQUIRED_CLAIMS: list(
    'What the claims of people who log in must say, all of it: hd=example.com (the value), realm_access.roles~mcp (a ' +
      'list that contains it, or words)'
  ),
  TRUST_EMAILS: flag(
    'Whether e-mail addresses count although the login server does not say that it has verified them ' +
      '(email_verified); only for a login server on which nobody can enter the address of somebody else',
    false
  ),
  RATE_LIMIT_CALLS_PER_MINUTE: callLimit(
    'Calls by one person in a minute (tools/call, resources/read, prompts/get), on all replicas; 0: none. Default: ' +
      'no limit'
  ),
  RATE_LIMIT_CALLS_PER_DAY: callLimit('The same, from midnight to midnight UTC'),
  CONCURRENT_CALLS_PER_PERSON: callLimit('The same, at one time'),
  POLICY_FILE: Type.Optional(text(
    'A YAML or JSON file that says who may log in, use what, and how much (docs/policy.md); it is read again on ' +
      'SIGHUP and when it changes. The rules of ALLOWED_… and REQUIRED_CLAIMS must hold besides'
  ))
}
