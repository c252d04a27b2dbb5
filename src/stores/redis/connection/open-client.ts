import { Cluster, Redis } from 'ioredis'
import { ConfigError } from '../../../errors.js'
import { parseRedisUrl, REDIS_URL, type SentinelLocation } from '../../../validation/redis-url.js'

/** What commands are given to. */
export type RedisClient = Redis | Cluster

export interface RedisClientOptions {
  /**
   * `redis://` or, for TLS, `rediss://`; `user:password@host:port/db`. With Sentinels `redis+sentinel://` or
   * `rediss+sentinel://`; `user:password@host:port,host:port/name/db?sentinelUsername=…&sentinelPassword=…`.
   */
  url: string
  /**
   * Whether the URL leads to a Redis Cluster: to one of its nodes, or to its configuration endpoint. Default: false.
   */
  cluster?: boolean
  /** Time that one command may take. Default: 2000. */
  commandTimeoutMs?: number
}

const MAX_RETRY_MS = 1000
const SLOTS_REFRESH_MS = 5000

// Redis answers, but cannot do it now. Redis up to 6 says it inside of another message when a script runs:
// "ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -READONLY You can't write …"
const UNAVAILABLE = /(?:^|: -)(?:LOADING|BUSY|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS)\b/
// nor later, until its operator acts: it cannot write, is full, or its users or passwords are not ours
const OPERATOR_NEEDED = /(?:^|: -)(?:MISCONF|OOM|NOAUTH|WRONGPASS|NOPERM|ERR invalid password)\b/
const READONLY = /(?:^|: -)READONLY\b/

/** Whether a reply of Redis says that it cannot do now what it was asked for. */
export function saysUnavailable ({ name, message }: Error): boolean {
  return name !== 'ReplyError' || UNAVAILABLE.test(message) || OPERATOR_NEEDED.test(message)
}

/** Whether it will not do it later, either, until its operator acts. */
export function saysOperatorNeeded ({ message }: Error): boolean {
  return OPERATOR_NEEDED.test(message)
}

/**
 * A client of ioredis that connects again by itself, keeps no command for later, and sends none twice.
 * @throws {ConfigError} if the URL leads to no Redis
 */
export function openClient ({ url, cluster = false, commandTimeoutMs = 2000 }: RedisClientOptions): RedisClient {
  const location = parseRedisUrl(url)
  if (location === undefined) throw new ConfigError(`The URL of Redis is not valid; it takes ${REDIS_URL}.`)
  const common = {
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2 * commandTimeoutMs,
    socketTimeout: 2 * commandTimeoutMs,
    maxLoadingRetryTime: MAX_RETRY_MS,
    // a primary that has become a replica
    reconnectOnError: ({ message }: Error) => READONLY.test(message),
    // what was under way when the connection broke fails at once: sent again, it might run twice
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false
  }
  const single = { ...common, retryStrategy: retry, enableOfflineQueue: false }
  if (location.kind === 'sentinel') {
    if (cluster) throw new ConfigError('A Redis Cluster has no Sentinels; the URL of one of its nodes is needed.')
    return new Redis({ ...single, ...sentinelOptions(location, commandTimeoutMs) })
  }
  if (!cluster) return new Redis(url, single)
  const { protocol, username, password } = new URL(url)
  return new Cluster([url], {
    redisOptions: {
      ...common,
      // nodes are connected to when they are needed: what waits for one must fail before it is given up
      connectTimeout: commandTimeoutMs / 2,
      ...password !== '' && { username: decodeURIComponent(username), password: decodeURIComponent(password) },
      ...protocol === 'rediss:' && { tls: {} }
    },
    clusterRetryStrategy: retry,
    retryDelayOnFailover: 0,
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    slotsRefreshTimeout: commandTimeoutMs,
    // certificates are made out to names
    dnsLookup: (address, callback) => { callback(null, address) }
  })
}

function sentinelOptions ({ isTls, kind, ...location }: { kind: 'sentinel' } & SentinelLocation, timeoutMs: number) {
  return {
    ...location,
    ...isTls && { tls: {}, enableTLSForSentinelMode: true },
    sentinelCommandTimeout: timeoutMs,
    sentinelRetryStrategy: retry,
    // they say so when there is another primary; the old one may only be silent
    failoverDetector: true
  }
}

function retry (attempts: number): number {
  return Math.min(2 ** attempts * 25, MAX_RETRY_MS) * (0.75 + Math.random() / 4)
}
