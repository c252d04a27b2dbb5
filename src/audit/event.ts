import { Type, type Static } from '@sinclair/typebox'

/*
 * The names are those of the Elastic Common Schema (ECS) if it has one. It names the members of log lines, and log
 * pipelines and OpenTelemetry know them. OCSF would want each event to be of a numbered class, and has none for a call
 * of a tool. What is of MCP has the names of OpenTelemetry's semantic conventions, as our spans do.
 */

const ECS_VERSION = '8.17.0'
const text = (description: string, maxLength = 1024) => Type.String({ maxLength, description })
const optionalText = (description: string, maxLength?: number) => Type.Optional(text(description, maxLength))
const count = (description: string) => Type.Integer({ minimum: 0, description })
const object = <P extends Parameters<typeof Type.Object>[0]>(properties: P, description: string) =>
  Type.Object(properties, { additionalProperties: false, description })
const oneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Union(values.map((value: T[number]) => Type.Literal(value)), { description })
const id = (description: string) => object({ id: text(description) }, description)

/** What an event is about. */
export const AUDIT_ACTIONS = [
  'audit-started', 'audit-resumed', 'client-registration', 'authorization-request', 'consent', 'login', 'grant-created',
  'token-issue', 'token-refresh', 'upstream-refresh', 'grant-ended', 'request-begun', 'request-refused',
  'refusals-left-out', 'call-begun', 'call', 'call-refused'
] as const

const Argument = object({
  name: text('Name of the argument'),
  value: optionalText('Its JSON text, shortened', 2048),
  hmac: optionalText('HMAC-SHA-256 of its JSON text, in hexadecimal')
}, 'An argument that AUDIT_ARGUMENTS names')

const properties = {
  '@timestamp': Type.String({ format: 'date-time', description: 'When it happened; of a call: when it ended' }),
  ecs: object({ version: Type.Literal(ECS_VERSION) }, 'The schema of these names'),
  event: object({
    kind: Type.Literal('event'),
    dataset: Type.Literal('fastify-mcp-oauth.audit'),
    category: Type.Array(oneOf(['api', 'authentication', 'iam', 'configuration'], 'ECS category'), { minItems: 1 }),
    type: Type.Array(
      oneOf(['access', 'start', 'info', 'denied', 'creation', 'deletion', 'change'], 'ECS type'),
      { minItems: 1 }
    ),
    action: oneOf(AUDIT_ACTIONS, 'What happened'),
    outcome: oneOf(['success', 'failure', 'unknown'], 'How it ended'),
    reason: optionalText('Why it failed, or how a call ended, or why a grant has: a word'),
    duration: Type.Optional(count('Of a call, in nanoseconds'))
  }, 'What happened'),
  user: Type.Optional(object({
    id: text('The person, as their issuer calls them'),
    domain: text('Issuer of the id')
  }, 'Who')),
  oauth: Type.Optional(object({
    client: Type.Optional(object({ id: text('Client id'), name: optionalText('What it calls itself') }, 'The client')),
    grant: Type.Optional(id('The grant: one login of a person for a client')),
    resource: optionalText('The MCP endpoint that the grant is for (RFC 8707)'),
    scopes: Type.Optional(Type.Array(text('A scope'), { maxItems: 64, description: 'Scopes of the grant' })),
    grant_type: optionalText('Of a token request')
  }, 'By what')),
  client: Type.Optional(object({ ip: text('The address that the request came from') }, 'From where')),
  http: Type.Optional(object({
    request: Type.Optional(object({
      id: optionalText('The id that the log and X-Request-Id have'),
      body: Type.Optional(object({ bytes: count('Of the HTTP request; a batch has one for all') }, 'Body'))
    }, 'The HTTP request')),
    response: Type.Optional(object({
      status_code: Type.Optional(count('HTTP status')),
      body: Type.Optional(object({ bytes: count('Of the JSON-RPC response') }, 'Body'))
    }, 'The response'))
  }, 'The HTTP request')),
  trace: Type.Optional(id('The trace, as the request names it: any caller may name any')),
  error: Type.Optional(object({ code: text('Code of the error: docs/errors.md, or of JSON-RPC') }, 'The error')),
  mcp: Type.Optional(object({
    server: Type.Optional(object({ name: text('Name of the server, if there are several') }, 'The server')),
    era: Type.Optional(oneOf(['legacy', 'modern'], 'modern: revision 2026-07-28; legacy: those before')),
    method: Type.Optional(object({ name: text('Method') }, 'Method')),
    session: Type.Optional(id('The session')),
    protocol: Type.Optional(object({ version: text('Revision that the request names') }, 'Protocol')),
    request: Type.Optional(id('JSON-RPC id')),
    resource: Type.Optional(object({ uri: text('URI, without its query') }, 'Resource')),
    arguments: Type.Optional(Type.Array(Argument, { maxItems: 32 }))
  }, 'The call')),
  gen_ai: Type.Optional(object({
    tool: Type.Optional(object({ name: text('Tool') }, 'Tool')),
    prompt: Type.Optional(object({ name: text('Prompt') }, 'Prompt'))
  }, 'What was called')),
  service: object({
    name: Type.Literal('fastify-mcp-oauth'),
    version: text('Version of this service'),
    node: object({ name: text('The process: host and a random part') }, 'Process')
  }, 'Who wrote it'),
  audit: object({
    chain: text('The chain: one for each file, or for each process'),
    sequence: Type.Integer({ minimum: 1, description: 'Place in the chain' }),
    previous: text('Hash of the event before; of the first: 64 zeros'),
    key: optionalText('Fingerprint of the key of the hashes; absent: they have none'),
    lost: Type.Optional(count('Events that were lost, or left out, before this one')),
    hash: text('SHA-256, or HMAC-SHA-256, of this line without this member, in hexadecimal')
  }, 'What shows whether the record was altered')
}

/**
 * The JSON Schema of an audit event.
 * @example
 * ```ts
 * import { AuditEventSchema } from 'fastify-mcp-oauth'
 *
 * // for a program that reads the record
 * console.info(JSON.stringify(AuditEventSchema))
 * ```
 */
export const AuditEventSchema = Type.Object(properties, {
  $id: 'https://github.com/fastify-mcp-oauth/fastify-mcp-oauth/docs/audit.schema.json',
  title: 'Audit event',
  additionalProperties: false
})

/**
 * One event of the audit log: docs/audit.md describes its members.
 * @example
 * ```ts
 * import type { AuditEvent } from 'fastify-mcp-oauth'
 *
 * export function describe ({ user, event, gen_ai: ai }: AuditEvent): string {
 *   return [user?.id ?? 'somebody', event.action, ai?.tool?.name ?? '', event.outcome].join(' ')
 * }
 * ```
 */
export type AuditEvent = Static<typeof AuditEventSchema>

export type AuditAction = AuditEvent['event']['action']

/** An event before it has its place in a chain. */
export type UnchainedEvent = Omit<AuditEvent, 'ecs' | 'service' | 'audit'>

type AboutEvent = UnchainedEvent['event']

/** What an event says of itself. */
export type EventFacts = Pick<AboutEvent, 'action' | 'outcome' | 'reason'>

/** The kind of events of an ECS category and type. */
export function categorize (category: AboutEvent['category'][number], type: AboutEvent['type'][number]): string {
  const about = { kind: 'event', dataset: 'fastify-mcp-oauth.audit', category: [category], type: [type] }
  return JSON.stringify(about).slice(1, -1)
}

/** What events of one kind say of themselves, but for how long it took: JSON text that is made once. */
export function writeAbout (categories: string, { action, outcome, reason }: EventFacts): string {
  const why = reason === undefined ? '' : `,"reason":${JSON.stringify(reason)}`
  return `,"ecs":{"version":"${ECS_VERSION}"},"event":{${categories},"action":"${action}","outcome":"${outcome}"${why}`
}

/**
 * The beginning of the JSON text of an event.
 * @param about of `writeAbout`
 * @param at when it happened, in milliseconds
 * @param duration in nanoseconds
 */
export function writeEvent (about: string, at: number, duration?: number): string {
  return writeTime(at) + about + (duration === undefined ? '}' : `,"duration":${duration}}`)
}

let lastSecond = { second: 0, text: '' }

// to format a date costs a tenth of an event, and many are of the same second
function writeTime (ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond.second) {
    lastSecond = { second, text: `{"@timestamp":"${new Date(ms).toISOString().slice(0, -4)}` }
  }
  return `${lastSecond.text}${String(ms % 1000).padStart(3, '0')}Z"`
}
