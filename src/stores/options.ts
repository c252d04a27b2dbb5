import type { TSchema } from '@sinclair/typebox'
import { count, flag, functionOf, lifetime, timerSeconds, objectOf, optional, optionsOf, textThat, timerMs } from '../validation/schemas.js'
import { isKeyPrefix, isRedisUrl, KEY_PREFIX, REDIS_URL } from '../validation/values.js'
import type { RecentLogBounds } from './attempts.js'
import type { AuthorizationBounds } from './authorizations.js'
import type { MemoryEventLogOptions } from './memory/event-log.js'
import type { RedisBusOptions } from './redis/bus.js'
import type { RedisEventLogOptions } from './redis/event-log.js'
import type { RegistrationBounds } from './registrations.js'
import type { RedisConnectionOptions } from './redis/connection.js'
import type { RedisRegistrationStoreOptions } from './redis/registrations.js'

const bounds = optionsOf<RecentLogBounds>()({ maxEntries: count, maxAgeSeconds: lifetime })
const authorizationBounds = optionsOf<AuthorizationBounds>()({ maxOfAddress: count, maxBytesOfAddress: count, max: count, maxBytes: count })
const registrationBounds = optionsOf<RegistrationBounds>()({ maxOfAddress: count, maxBytesOfAddress: count, max: count, maxBytes: count })
const eventLog = {
  maxEventsPerStream: optional(count),
  maxBytesPerStream: optional(count),
  maxBytesPerSession: optional(count),
  maxStreamsPerSession: optional(count),
  retentionSeconds: optional(lifetime)
}
const common = {
  sessionIdleSeconds: lifetime,
  loginSteps: optional(objectOf(bounds, 'an object with maxEntries and maxAgeSeconds'))
}

/** The options of `createMemoryStores`. */
export const memoryStoresOptions: TSchema = objectOf(optionsOf<MemoryStoresOptions>()({
  ...common,
  maxSessions: optional(count),
  eventLog: optional(objectOf(optionsOf<MemoryEventLogOptions>()({
    ...eventLog, maxBytes: optional(count), now: optional(functionOf<() => number>('a function that tells milliseconds since the epoch'))
  }), 'an object of bounds'))
}), 'an object with sessionIdleSeconds')

/** The options of `createRedisStores`. */
export const redisStoresOptions: TSchema = objectOf(optionsOf<RedisStoresOptions>()({
  ...common,
  url: textThat({ takes: REDIS_URL, secret: true }, isRedisUrl),
  cluster: optional(flag),
  keyPrefix: optional(textThat({ takes: KEY_PREFIX }, isKeyPrefix)),
  commandTimeoutMs: optional(timerMs),
  graceMs: optional(timerMs),
  maxRegistrations: optional(count),
  maxMetadataDocuments: optional(count),
  registrationBounds: optional(objectOf(registrationBounds, 'an object of bounds')),
  authorizationBounds: optional(objectOf(authorizationBounds, 'an object of bounds')),
  onError: optional(functionOf<NonNullable<RedisStoresOptions['onError']>>('a function that hears of errors')),
  onDown: optional(functionOf<NonNullable<RedisStoresOptions['onDown']>>('a function')),
  onCommand: optional(functionOf<NonNullable<RedisStoresOptions['onCommand']>>('a function that hears of commands')),
  eventLog: optional(objectOf(optionsOf<RedisEventLogOptions>()({
    ...eventLog, openSeconds: optional(lifetime), rereadSeconds: optional(timerSeconds)
  }), 'an object of bounds')),
  bus: optional(objectOf(optionsOf<RedisBusOptions>()({ maxBytes: optional(count), retentionSeconds: optional(lifetime) }), 'an object of bounds'))
}), 'an object with url and sessionIdleSeconds')
export interface MemoryStoresOptions {
  /** Life of a session that nobody touches. */
  sessionIdleSeconds: number
  /** Sessions kept at all. Default: 100,000. */
  maxSessions?: number
  /** Bounds of what is kept of streams. */
  eventLog?: MemoryEventLogOptions
  /** How many steps of logins are kept for operators, and how long. Default: 4000, for a day. */
  loginSteps?: RecentLogBounds
}
export interface RedisStoresOptions extends RedisConnectionOptions, RedisRegistrationStoreOptions {
  /** Begins every key and channel. Default: `mcp`. */
  keyPrefix?: string
  /** Life of a session that nobody touches. */
  sessionIdleSeconds: number
  /** Bounds of what is kept of streams. */
  eventLog?: RedisEventLogOptions
  /** Metadata documents kept at most. Default: 10,000. */
  maxMetadataDocuments?: number
  /** How many steps of logins are kept for operators, and how long. Default: 4000, for a day. */
  loginSteps?: RecentLogBounds
  /** Bounds of what is kept of logins that are under way. */
  authorizationBounds?: AuthorizationBounds
  /** Bounds of what is kept of messages between replicas. */
  bus?: RedisBusOptions
}
