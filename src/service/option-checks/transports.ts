import type { CreateServer } from '../../mcp/create-server.js'
import type { SessionLimits } from '../../mcp/limits.js'
import type { MaySubscribe } from '../../mcp/server-events/may-subscribe.js'
import type { McpObserver } from '../../mcp/observer.js'
import type { McpTransportsOptions, StreamOptions } from '../../mcp/options.js'
import {
  checked,
  count,
  countOrNone,
  flag,
  functionSchema,
  hosts,
  observerSchema,
  lifetime,
  listSchema,
  objectSchema,
  choiceSchema,
  optional,
  optionSchemas,
  origins,
  textThat,
  timerMs,
  timerSeconds
} from '../../validation/schemas.js'
import { Policy } from '../../policy/policy.js'
import { isBaseUrl, MAX_TIMER_SECONDS } from '../../validation/values.js'
import { sessionStores, taskRecords } from './stores.js'

export const publicUrl = textThat(
  { takes: 'the URL of the app\'s root as clients see it, such as https://mcp.example.com (http only on loopback)' },
  isBaseUrl
)

export const policyOption = checked<Policy>({ takes: 'a Policy' }, value => value instanceof Policy)

const limits = optionSchemas<Partial<SessionLimits>>()({
  idleSeconds: optional(lifetime),
  lifetimeSeconds: optional(lifetime),
  maxSessionsPerOwner: optional(count),
  maxSessionsPerPerson: optional(count),
  instanceIdleSeconds: optional(timerSeconds),
  maxLiveInstances: optional(count),
  maxInstancesPerPerson: optional(count),
  maxRequestsInFlight: optional(count),
  maxRequestsInFlightPerPerson: optional(count),
  toolCallsPerMinute: optional(countOrNone),
  maxStreams: optional(count),
  maxStreamsPerPerson: optional(count),
  maxSubscriptions: optional(count),
  maxSubscriptionsPerPerson: optional(count),
  maxSubscriptionBytes: optional(count),
  maxSubscriptionBytesPerPerson: optional(count),
  maxUriBytes: optional(count),
  maxOpenResponses: optional(count),
  maxOpenResponsesPerPerson: optional(count),
  maxRequestBytes: optional(count),
  maxRequestBytesPerPerson: optional(count),
  maxUnreadBytes: optional(count),
  maxUnreadBytesPerPerson: optional(count),
  maxInitializeBytes: optional(count),
  maxBufferedBytes: optional(count),
  maxUnreadBytesPerStream: optional(count),
  maxSuspendedCalls: optional(count),
  maxSuspendedCallsPerPerson: optional(count),
  suspendedCallSeconds: optional(timerSeconds),
  repeatedInputMs: optional(timerMs)
})

const streams = optionSchemas<Partial<StreamOptions>>()({
  silenceMs: optional(timerMs),
  heartbeatMs: optional(timerMs),
  retryMs: optional(timerMs),
  stalledMs: optional(timerMs)
})

const requestStateKey = checked<Uint8Array>(
  { takes: 'a Uint8Array of at least 32 bytes', secret: true },
  value => value instanceof Uint8Array && value.length >= 32
)

/** The options of `mcpTransports`. */
export const mcpTransportsOptions = optionSchemas<McpTransportsOptions>()({
  ...sessionStores,
  tasks: optional(taskRecords),
  publicUrl,
  createServer: functionSchema<CreateServer>('a function that makes the MCP server: context => McpServer'),
  reuseInstances: optional(flag),
  maySubscribe: optional(functionSchema<MaySubscribe>('a function: (caller, uri) => whether')),
  getUpstreamAccessToken: optional(
    functionSchema<NonNullable<McpTransportsOptions['getUpstreamAccessToken']>>('a function: caller => token')
  ),
  findEndedGrants: optional(
    functionSchema<NonNullable<McpTransportsOptions['findEndedGrants']>>('a function: ids => those that have ended')
  ),
  policy: optional(policyOption),
  authChallenge: optional(choiceSchema('http', 'tool-result', 'auto')),
  sessionMode: optional(choiceSchema('stateful', 'stateless')),
  requestStateKeys: optional(
    listSchema(requestStateKey, 'a list of one or more keys, each a Uint8Array of at least 32 bytes', {
      minItems: 1,
      uniqueItems: false
    })
  ),
  allowedOrigins: optional(origins),
  allowedHosts: optional(hosts),
  maxBodyBytes: optional(count),
  limits: optional(objectSchema(limits, 'an object of limits')),
  streams: optional(objectSchema(streams, 'an object of stream options')),
  mcpObserver: optional(
    observerSchema<McpObserver>({ request: true, ended: true, refused: true, denied: true, counts: true })
  ),
  drainSeconds: optional(
    checked<number>({ takes: `a number of seconds from 0 to ${MAX_TIMER_SECONDS}` }, value =>
      typeof value === 'number' && value >= 0 && value <= MAX_TIMER_SECONDS)
  )
})
