import type { Environment } from './environment.js'
import { defaultLimits, type SessionLimits } from '../mcp/limits.js'

/** The bounds of sessions, streams and what one person may have, as the environment has them. */
export function toLimits (env: Environment): SessionLimits {
  return {
    ...defaultLimits,
    idleSeconds: env.SESSION_IDLE_SECONDS,
    lifetimeSeconds: env.SESSION_LIFETIME_SECONDS,
    maxSessionsPerOwner: env.SESSIONS_PER_OWNER,
    maxSessionsPerPerson: env.SESSIONS_PER_PERSON,
    instanceIdleSeconds: env.INSTANCE_IDLE_SECONDS,
    maxLiveInstances: env.MAX_LIVE_INSTANCES,
    maxInstancesPerPerson: env.INSTANCES_PER_PERSON,
    maxRequestsInFlight: env.MAX_REQUESTS_IN_FLIGHT,
    maxRequestsInFlightPerPerson: env.REQUESTS_IN_FLIGHT_PER_PERSON,
    toolCallsPerMinute: env.RATE_LIMIT_TOOL_CALLS_PER_MINUTE,
    maxStreams: env.MAX_STREAMS,
    maxStreamsPerPerson: env.STREAMS_PER_PERSON,
    maxSubscriptions: env.MAX_SUBSCRIPTIONS,
    maxSubscriptionsPerPerson: env.SUBSCRIPTIONS_PER_PERSON,
    maxSubscriptionBytes: env.MAX_SUBSCRIPTION_BYTES,
    maxSubscriptionBytesPerPerson: env.SUBSCRIPTION_BYTES_PER_PERSON,
    maxUriBytes: env.MAX_URI_BYTES,
    maxSuspendedCalls: env.MAX_SUSPENDED_CALLS,
    maxSuspendedCallsPerPerson: env.SUSPENDED_CALLS_PER_PERSON,
    suspendedCallSeconds: env.SUSPENDED_CALL_SECONDS,
    maxOpenResponses: env.MAX_OPEN_RESPONSES,
    maxOpenResponsesPerPerson: env.OPEN_RESPONSES_PER_PERSON,
    maxRequestBytes: env.MAX_REQUEST_BYTES,
    maxRequestBytesPerPerson: env.REQUEST_BYTES_PER_PERSON,
    maxUnreadBytes: env.MAX_UNREAD_BYTES,
    maxUnreadBytesPerPerson: env.UNREAD_BYTES_PER_PERSON
  }
}
