/** In words, what `isRedisUrl` takes. */
export const REDIS_URL = 'redis://host:port or, for TLS, rediss://host:port, ' +
  'or redis+sentinel://host:port,host:port/name of the primary'

/** Where a URL leads to: one Redis (or a node of a cluster), or the Sentinels that know which one is the primary. */
export type RedisLocation =
  | { kind: 'single', url: string }
  | { kind: 'sentinel' } & SentinelLocation

export interface SentinelLocation {
  sentinels: Array<{ host: string, port: number }>
  /** Name of the primary among the Sentinels. */
  name: string
  db: number
  isTls: boolean
  username?: string
  password?: string
  sentinelUsername?: string
  sentinelPassword?: string
}

const SENTINEL_PORT = 26_379
const SENTINEL_URL =
  /^(rediss?)\+sentinel:\/\/(?:([^\s/@]*)@)?([^\s/@?#]+)\/([\w.-]{1,128})(?:\/(\d{1,4}))?(?:\?([^\s#]*))?$/i
const SENTINEL_PARAMETERS = new Set(['sentinelUsername', 'sentinelPassword'])

/** Whether this leads to a Redis. */
export function isRedisUrl (value: string): boolean {
  return parseRedisUrl(value) !== undefined
}

/**
 * Parses `redis://user:password@host:port/db`, or
 * `redis+sentinel://user:password@host:port,host:port/name/db?sentinelUsername=…&sentinelPassword=…`; `rediss` for TLS.
 * @returns undefined if it is neither
 */
export function parseRedisUrl (value: string): RedisLocation | undefined {
  if (/^rediss?:\/\/[^\s/]/i.test(value) && URL.canParse(value)) return { kind: 'single', url: value }
  return parseSentinelUrl(value)
}

function parseSentinelUrl (value: string): RedisLocation | undefined {
  const match = SENTINEL_URL.exec(value)
  if (match === null) return undefined
  const [, scheme = '', user = '', hosts = '', name = '', db = '0', query = ''] = match
  const sentinels = parseHosts(hosts)
  const credentials = parseCredentials(user)
  const parameters = new URLSearchParams(query)
  const areKnown = [...parameters.keys()].every(key => SENTINEL_PARAMETERS.has(key))
  if (sentinels === undefined || credentials === undefined || !areKnown) return undefined
  const isTls = scheme.toLowerCase() === 'rediss'
  return { kind: 'sentinel', sentinels, name, db: Number(db), isTls, ...credentials, ...Object.fromEntries(parameters) }
}

function parseHosts (text: string): SentinelLocation['sentinels'] | undefined {
  const sentinels = text.split(',').flatMap(host => parseHost(host) ?? [])
  return sentinels.length === text.split(',').length ? sentinels : undefined
}

function parseHost (text: string): { host: string, port: number } | undefined {
  if (!URL.canParse(`redis://${text}`)) return undefined
  const { hostname, port, pathname } = new URL(`redis://${text}`)
  if (hostname === '' || pathname !== '') return undefined
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? SENTINEL_PORT : Number(port) }
}

/** @returns undefined where something cannot be decoded */
function parseCredentials (text: string): Pick<SentinelLocation, 'username' | 'password'> | undefined {
  const [username = '', ...rest] = text.split(':')
  const password = rest.join(':')
  try {
    return {
      ...username !== '' && { username: decodeURIComponent(username) },
      ...password !== '' && { password: decodeURIComponent(password) }
    }
  } catch {
    return undefined
  }
}
