import { defaultLimits } from '../../mcp/limits.js'
import { defaultStreamOptions } from '../../mcp/options.js'
import { EVENT_LOG_BOUNDS, EVENT_LOG_BYTES } from '../../stores/event-log.js'
import { MAX_SESSIONS } from '../../stores/sessions.js'
import { MAX_TIMER_MS, MAX_TIMER_SECONDS } from '../../validation/values.js'
import { choice, limit, milliseconds, seconds } from './kinds.js'

const HOUR_SECONDS = 3600

/** Sessions, streams, and what one person may have. */
export const mcpVariables = {
  SESSION_MODE: choice(
    'stateful: sessions; stateless: each request by itself, with no streams to resume, ' +
      'no requests to the client, and no HTTP+SSE',
    'stateful',
    ['stateful', 'stateless']
  ),
  AUTH_CHALLENGE: choice(
    'How a call learns that it needs a login or more scopes. http: by HTTP 401 or 403; tool-result: by a result of ' +
      'the tool, as ChatGPT needs it; auto: as the client does',
    'auto',
    ['auto', 'http', 'tool-result']
  ),
  SESSION_IDLE_SECONDS: seconds('Lifetime of an MCP session without requests', defaultLimits.idleSeconds),
  SESSION_LIFETIME_SECONDS: seconds(
    'Lifetime of an MCP session, however much it is used',
    defaultLimits.lifetimeSeconds
  ),
  SESSIONS_PER_OWNER: limit(
    'MCP sessions of one person and client; one more ends the least recently used one',
    defaultLimits.maxSessionsPerOwner
  ),
  SESSIONS_PER_PERSON: limit('The same, of one person, by all clients', defaultLimits.maxSessionsPerPerson),
  MAX_SESSIONS: limit(
    'MCP sessions kept in all (memory, SQLite); beyond, the person with the most makes room for one with fewer, ' +
      'otherwise new ones are refused. Callers who have not logged in have half of it, with Redis too',
    MAX_SESSIONS
  ),
  INSTANCE_IDLE_SECONDS: seconds(
    'Time after which the server instance of an unused session is dropped, and created again at its next request',
    defaultLimits.instanceIdleSeconds,
    { maximum: MAX_TIMER_SECONDS }
  ),
  MAX_LIVE_INSTANCES: limit(
    'Server instances held at once, in every era; one more drops an idle one of the person with the most, or is ' +
      'refused if all are busy',
    defaultLimits.maxLiveInstances
  ),
  INSTANCES_PER_PERSON: limit('The same, of one person', defaultLimits.maxInstancesPerPerson),
  MAX_REQUESTS_IN_FLIGHT: limit('Concurrent requests', defaultLimits.maxRequestsInFlight),
  REQUESTS_IN_FLIGHT_PER_PERSON: limit(
    'The same, of one person: in all sessions, eras and clients',
    defaultLimits.maxRequestsInFlightPerPerson
  ),
  RATE_LIMIT_TOOL_CALLS_PER_MINUTE: limit(
    'Calls of one tool by one person in a minute, in each process; 0: no limit',
    defaultLimits.toolCallsPerMinute,
    { minimum: 0 }
  ),
  MAX_STREAMS: limit('Concurrent streams that clients open to listen', defaultLimits.maxStreams),
  STREAMS_PER_PERSON: limit('The same, of one person', defaultLimits.maxStreamsPerPerson),
  MAX_SUBSCRIPTIONS: limit(
    'Resource subscriptions of active sessions and streams',
    defaultLimits.maxSubscriptions
  ),
  SUBSCRIPTIONS_PER_PERSON: limit('The same, of one person', defaultLimits.maxSubscriptionsPerPerson),
  MAX_SUBSCRIPTION_BYTES: limit('Bytes of the URIs of these subscriptions', defaultLimits.maxSubscriptionBytes),
  SUBSCRIPTION_BYTES_PER_PERSON: limit('The same, of one person', defaultLimits.maxSubscriptionBytesPerPerson),
  MAX_URI_BYTES: limit('Bytes of the URI of one subscription', defaultLimits.maxUriBytes),
  MAX_SUSPENDED_CALLS: limit(
    'Suspended calls at once (servers of SDK 1.x that wait for input from clients of 2026-07-28); one more drops the ' +
      'oldest of the person with the most',
    defaultLimits.maxSuspendedCalls
  ),
  SUSPENDED_CALLS_PER_PERSON: limit(
    'The same, of one person; one more drops their oldest',
    defaultLimits.maxSuspendedCallsPerPerson
  ),
  SUSPENDED_CALL_SECONDS: seconds(
    'Time that a suspended call waits for its client',
    defaultLimits.suspendedCallSeconds,
    { maximum: MAX_TIMER_SECONDS }
  ),
  MAX_OPEN_RESPONSES: limit(
    'Requests to MCP endpoints whose response has not ended, at once',
    defaultLimits.maxOpenResponses
  ),
  OPEN_RESPONSES_PER_PERSON: limit('The same, of one person', defaultLimits.maxOpenResponsesPerPerson),
  MAX_REQUEST_BYTES: limit('Bytes of the bodies of these requests', defaultLimits.maxRequestBytes),
  REQUEST_BYTES_PER_PERSON: limit('The same, of one person', defaultLimits.maxRequestBytesPerPerson),
  MAX_UNREAD_BYTES: limit(
    'Bytes of responses that clients have not read yet; beyond, the responses with the most are cut',
    defaultLimits.maxUnreadBytes
  ),
  UNREAD_BYTES_PER_PERSON: limit('The same, of one person', defaultLimits.maxUnreadBytesPerPerson),
  STREAM_AFTER_MS: milliseconds(
    'Silence after which a pending response becomes a stream',
    defaultStreamOptions.silenceMs,
    HOUR_SECONDS * 1000
  ),
  STREAM_HEARTBEAT_SECONDS: seconds(
    'Interval of the comments that keep proxies from closing idle streams',
    defaultStreamOptions.heartbeatMs / 1000,
    { maximum: HOUR_SECONDS }
  ),
  STREAM_RETRY_MS: milliseconds(
    'Time that clients should wait before they resume a stream',
    defaultStreamOptions.retryMs,
    MAX_TIMER_MS
  ),
  EVENT_LOG_SECONDS: seconds('How long events are kept for clients that resume', EVENT_LOG_BOUNDS.retentionSeconds),
  EVENT_LOG_EVENTS_PER_STREAM: limit('Events kept for one stream', EVENT_LOG_BOUNDS.maxEventsPerStream),
  EVENT_LOG_BYTES_PER_STREAM: limit(
    'Bytes kept for one stream, besides its newest event',
    EVENT_LOG_BOUNDS.maxBytesPerStream
  ),
  EVENT_LOG_BYTES_PER_SESSION: limit(
    'Bytes kept for one session; beyond, its oldest responses are dropped first',
    EVENT_LOG_BOUNDS.maxBytesPerSession
  ),
  EVENT_LOG_BYTES: limit('Bytes kept for all sessions; beyond, the oldest responses are dropped first', EVENT_LOG_BYTES)
}
