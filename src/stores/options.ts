import type { TSchema } from '@sinclair/typebox'
import {
  count,
  flag,
  functionSchema,
  lifetime,
  timerSeconds,
  objectSchema,
  optional,
  optionSchemas,
  textThat,
  timerMs
} from '../validation/schemas.js'
import { isKeyPrefix, isPath, KEY_PREFIX } from '../validation/values.js'
import { isRedisUrl, REDIS_URL } from '../validation/redis-url.js'
import type { RecentLogBounds } from './attempts.js'
import type { AuthorizationBounds } from './authorizations.js'
import type { MemoryEventLogOptions } from './memory/event-log.js'
import type { RedisBusOptions } from './redis/bus/bus.js'
import type { RedisEventLogOptions } from './redis/event-log.js'
import type { RegistrationBounds } from './registrations.js'
import type { RedisTaskBounds } from './redis/tasks.js'
import type { RedisConnectionOptions } from './redis/connection/connection.js'
import type { RedisRegistrationStoreOptions } from './redis/registrations.js'

const bounds = optionSchemas<RecentLogBounds>()({ maxEntries: count, maxAgeSeconds: lifetime })
const authorizationBounds = optionSchemas<AuthorizationBounds>()({
  maxOfAddress: count,
  maxBytesOfAddress: count,
  max: count,
  maxBytes: count
})
const registrationBounds = optionSchemas<RegistrationBounds>()({
  maxOfAddress: count,
  maxBytesOfAddress: count,
  max: count,
  maxBytes: count
})
const taskBounds = optionSchemas<Partial<RedisTaskBounds>>()({
  maxOfHolder: optional(count),
  maxBytesOfHolder: optional(count),
  maxMessagesOfTask: optional(count)
})
const eventLog = {
  maxEventsPerStream: optional(count),
  maxBytesPerStream: optional(count),
  maxBytesPerSession: optional(count),
  maxStreamsPerSession: optional(count),
  retentionSeconds: optional(lifetime)
}
const memoryEventLog = objectSchema(
  optionSchemas<MemoryEventLogOptions>()({
    ...eventLog,
    maxBytes: optional(count),
    now: optional(functionSchema<() => number>('a function that returns milliseconds since the epoch'))
  }),
  'an object of bounds'
)
const common = {
  sessionIdleSeconds: lifetime,
  loginSteps: optional(objectSchema(bounds, 'an object with maxEntries and maxAgeSeconds'))
}

/** The options of `createMemoryStores`. */
export const memoryStoresOptions: TSchema = objectSchema(
  optionSchemas<MemoryStoresOptions>()({
    ...common,
    maxSessions: optional(count),
    eventLog: optional(memoryEventLog)
  }),
  'an object with sessionIdleSeconds'
)

/** The options of `createSqliteStores`. */
export const sqliteStoresOptions: TSchema = objectSchema(
  optionSchemas<SqliteStoresOptions>()({
    ...common,
    file: textThat({ takes: 'the path of a file' }, isPath),
    fullSync: optional(flag),
    maxSessions: optional(count),
    eventLog: optional(memoryEventLog)
  }),
  'an object with file and sessionIdleSeconds'
)

/** The options of `createRedisStores`. */
export const redisStoresOptions: TSchema = objectSchema(
  optionSchemas<RedisStoresOptions>()({
    ...common,
    url: textThat({ takes: REDIS_URL, secret: true }, isRedisUrl),
    cluster: optional(flag),
    maxSessions: optional(count),
    keyPrefix: optional(textThat({ takes: KEY_PREFIX }, isKeyPrefix)),
    commandTimeoutMs: optional(timerMs),
    graceMs: optional(timerMs),
    maxRegistrations: optional(count),
    maxMetadataDocuments: optional(count),
    registrationBounds: optional(objectSchema(registrationBounds, 'an object of bounds')),
    authorizationBounds: optional(objectSchema(authorizationBounds, 'an object of bounds')),
    taskBounds: optional(objectSchema(taskBounds, 'an object of bounds')),
    onError: optional(functionSchema<NonNullable<RedisStoresOptions['onError']>>('a function that takes errors')),
    onDown: optional(functionSchema<NonNullable<RedisStoresOptions['onDown']>>('a function')),
    onCommand: optional(
      functionSchema<NonNullable<RedisStoresOptions['onCommand']>>('a function that takes commands')
    ),
    eventLog: optional(objectSchema(
      optionSchemas<RedisEventLogOptions>()({
        ...eventLog,
        openSeconds: optional(lifetime),
        rereadSeconds: optional(timerSeconds)
      }),
      'an object of bounds'
    )),
    bus: optional(
      objectSchema(
        optionSchemas<RedisBusOptions>()({ maxBytes: optional(count), retentionSeconds: optional(lifetime) }),
        'an object of bounds'
      )
    )
  }),
  'an object with url and sessionIdleSeconds'
)
/**
 * Options of `createMemoryStores`.
 * @example
 * ```ts
 * import { createMemoryStores, type MemoryStoresOptions } from 'fastify-mcp-oauth'
 *
 * const options: MemoryStoresOptions = { sessionIdleSeconds: 3600, maxSessions: 1000 }
 * export const stores = createMemoryStores(options)
 * ```
 */
export interface MemoryStoresOptions {
  /** Life of a session that nobody touches. */
  sessionIdleSeconds: number
  /** Sessions kept at all, half of them of callers who have not logged in. Default: 100,000. */
  maxSessions?: number
  /** Bounds of what is kept of streams. */
  eventLog?: MemoryEventLogOptions
  /** How many steps of logins are kept for operators, and how long. Default: 4000, for a day. */
  loginSteps?: RecentLogBounds
}
/**
 * Options of `createSqliteStores`.
 * @example
 * ```ts
 * import { createSqliteStores, type SqliteStoresOptions } from 'fastify-mcp-oauth'
 *
 * const options: SqliteStoresOptions = { file: '/data/state.sqlite', sessionIdleSeconds: 3600, fullSync: true }
 * export const stores = createSqliteStores(options)
 * ```
 */
export interface SqliteStoresOptions extends MemoryStoresOptions {
  /**
   * Path of the file, which is made (mode 600) unless it exists; its directory must exist, on a local disk. One process
   * uses it at a time.
   */
  file: string
  /**
   * Whether each step waits until the disk has it. Then nothing that was answered is lost by a power cut, either; else
   * the last steps before it may be. Default: false.
   */
  fullSync?: boolean
}
/**
 * Options of `createRedisStores`.
 * @example
 * ```ts
 * import { createRedisStores, Metrics, type RedisStoresOptions } from 'fastify-mcp-oauth'
 *
 * const options: RedisStoresOptions = {
 *   url: 'redis://localhost:6379',
 *   sessionIdleSeconds: 3600,
 *   keyPrefix: 'notes',
 *   onCommand: new Metrics().onCommand,
 *   onError: error => { console.error('Redis:', error.message) }
 * }
 * export const stores = createRedisStores(options)
 * ```
 */
export interface RedisStoresOptions extends RedisConnectionOptions, RedisRegistrationStoreOptions {
  /** Begins every key and channel. Default: `mcp`. */
  keyPrefix?: string
  /** Life of a session that nobody touches. */
  sessionIdleSeconds: number
  /** Callers who have not logged in may have half as many sessions, all together. Default: 100,000. */
  maxSessions?: number
  /** Bounds of what is kept of streams. */
  eventLog?: RedisEventLogOptions
  /** Metadata documents kept at most. Default: 10,000. */
  maxMetadataDocuments?: number
  /** How many steps of logins are kept for operators, and how long. Default: 4000, for a day. */
  loginSteps?: RecentLogBounds
  /** Bounds of what is kept of logins that are under way. */
  authorizationBounds?: AuthorizationBounds
  /** Bounds of what is kept of tasks, for each session. Default: 200 tasks, 8 MiB, 100 messages a task. */
  taskBounds?: Partial<RedisTaskBounds>
  /** Bounds of what is kept of messages between replicas. */
  bus?: RedisBusOptions
}
