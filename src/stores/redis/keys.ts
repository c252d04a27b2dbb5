/** Begins every key and channel, unless the options say otherwise. */
export const DEFAULT_KEY_PREFIX = 'mcp'

/** A kind of key. The table in docs/storage.md says what each holds; a test compares the two. */
interface KeyPattern {
  /** After the prefix. Braces enclose the hash tag: in a cluster, keys with the same tag are on one node. */
  pattern: string
  type: 'string' | 'hash' | 'list' | 'set' | 'zset' | 'stream'
  /** When it expires, in words. */
  expires: string
}

/** What has expired is kept this much longer, for scripts that must still find it. */
export const SPARE_SECONDS = 7 * 86_400 - 60

const AFTER_LAST = '7 days after the last'
const WITH_LAST = 'with the last of them'

/** Every key in Redis. Scripts may make keys from others of the same tag, by `keyTail`. */
const keyPatterns = {
  registration: {
    pattern: '{<kind>}:record:<client id>',
    type: 'hash',
    expires: '7 days after `expiresAt`'
  },
  unusedRegistrations: { pattern: '{<kind>}:unused', type: 'zset', expires: AFTER_LAST },
  usedRegistrations: { pattern: '{<kind>}:used', type: 'zset', expires: AFTER_LAST },
  registrationsOfAddress: { pattern: '{<kind>}:of:<address>', type: 'zset', expires: AFTER_LAST },
  registrationSizes: { pattern: '{<kind>}:sizes', type: 'hash', expires: AFTER_LAST },
  registrationSums: { pattern: '{<kind>}:sums', type: 'hash', expires: AFTER_LAST },
  dueDeletions: { pattern: '{upstream-deletion}:due', type: 'zset', expires: AFTER_LAST },
  deletions: { pattern: '{upstream-deletion}:records', type: 'hash', expires: AFTER_LAST },
  deletionAttempts: { pattern: '{upstream-deletion}:attempts', type: 'hash', expires: AFTER_LAST },
  document: { pattern: '{document}:<client id>', type: 'string', expires: 'a day after it was fresh' },
  documents: { pattern: '{document}', type: 'zset', expires: WITH_LAST },
  authorization: { pattern: '{authorization}:attempt:<id>', type: 'string', expires: '10 min' },
  authorizationEnds: { pattern: '{authorization}:ends', type: 'zset', expires: AFTER_LAST },
  authorizationSizes: { pattern: '{authorization}:sizes', type: 'hash', expires: AFTER_LAST },
  authorizationSums: { pattern: '{authorization}:sums', type: 'hash', expires: AFTER_LAST },
  consents: { pattern: 'consents:<person>', type: 'hash', expires: WITH_LAST },
  codePointer: { pattern: 'code:<hash>', type: 'string', expires: 'with the code' },
  accessPointer: { pattern: 'access:<hash>', type: 'string', expires: 'with the token' },
  refreshPointer: { pattern: 'refresh:<hash>', type: 'string', expires: 'with the token' },
  grant: { pattern: 'grant:{<grant id>}', type: 'hash', expires: 'end of the grant' },
  grantCode: { pattern: 'grant:{<grant id>}:code:<hash>', type: 'hash', expires: 'with the code' },
  grantAccess: { pattern: 'grant:{<grant id>}:access:<hash>', type: 'string', expires: 'with the token' },
  grantRefresh: {
    pattern: 'grant:{<grant id>}:refresh:<hash>',
    type: 'hash',
    expires: 'with the token; a minute after its rotation'
  },
  grantResponse: { pattern: 'grant:{<grant id>}:refresh:<hash>:response', type: 'string', expires: 'a minute' },
  grantIssued: { pattern: 'grant:{<grant id>}:issued', type: 'list', expires: WITH_LAST },
  grantRotated: { pattern: 'grant:{<grant id>}:rotated', type: 'list', expires: WITH_LAST },
  grantsOfPerson: { pattern: 'person:<tag>', type: 'zset', expires: WITH_LAST },
  loginSteps: { pattern: 'login-steps', type: 'stream', expires: 'a day after the last' },
  visits: { pattern: 'visits', type: 'stream', expires: 'a day after the last' },
  replicaKeys: { pattern: 'replica-keys', type: 'stream', expires: '100 s after the last' },
  rates: { pattern: 'rates', type: 'string', expires: 'a minute after the first' },
  calls: {
    pattern: 'calls:{<tag>}',
    type: 'hash',
    expires: 'a minute after the last; at midnight UTC if days are limited'
  },
  runningCalls: { pattern: 'calls:{<tag>}:running:<bucket>', type: 'zset', expires: 'with the last lease' },
  lease: { pattern: 'lease:<name>', type: 'string', expires: 'with the lease' },
  sessionPointer: { pattern: 'session:<session id>', type: 'string', expires: 'idle time' },
  sessions: { pattern: 'sessions:{<tag>}', type: 'zset', expires: WITH_LAST },
  sessionsOfClient: { pattern: 'sessions:{<tag>}:of:<client tag>', type: 'zset', expires: WITH_LAST },
  sessionEnds: { pattern: 'sessions:{<tag>}:ends', type: 'zset', expires: WITH_LAST },
  sessionsOfAddresses: { pattern: 'sessions:{<tag>}:addresses', type: 'zset', expires: WITH_LAST },
  session: {
    pattern: 'sessions:{<tag>}:session:<session id>',
    type: 'hash',
    expires: 'idle time, at most its lifetime'
  },
  log: { pattern: 'log:{<session id>}', type: 'zset', expires: 'idle time after the last event or reader' },
  logBytes: { pattern: 'log:{<session id>}:bytes', type: 'string', expires: 'with the log' },
  logStream: {
    pattern: 'log:{<session id>}:stream:<stream id>',
    type: 'hash',
    expires: 'with the log; `EVENT_LOG_SECONDS` once complete'
  },
  logEvents: {
    pattern: 'log:{<session id>}:events:<stream id>',
    type: 'stream',
    expires: 'with the stream'
  },
  tasks: { pattern: 'tasks:{<tag>}', type: 'zset', expires: WITH_LAST },
  task: {
    pattern: 'tasks:{<tag>}:task:<id>',
    type: 'hash',
    expires: 'its ttl after its creation, and again after its end'
  },
  taskMessages: { pattern: 'tasks:{<tag>}:messages:<id>', type: 'list', expires: 'with the task' },
  bus: { pattern: '{bus}', type: 'stream', expires: '300 s after the last' },
  busState: { pattern: '{bus}:state', type: 'hash', expires: '300 s after the last' },
  busControl: { pattern: '{bus}:control', type: 'stream', expires: '300 s after the last' },
  busControlState: { pattern: '{bus}:control:state', type: 'hash', expires: '300 s after the last' },
  busOfReplica: { pattern: 'bus:{<replica id>}', type: 'stream', expires: '300 s after the last' },
  busOfReplicaState: {
    pattern: 'bus:{<replica id>}:state',
    type: 'hash',
    expires: '300 s after the last, or after the replica'
  }
} as const satisfies Record<string, KeyPattern>

export type KeyName = keyof typeof keyPatterns

/** The same table, to be read. */
export const redisKeys: Readonly<Record<KeyName, KeyPattern>> = keyPatterns

type Fields<Pattern> = Pattern extends `${string}<${string}>${infer Rest}` ? [string, ...Fields<Rest>] : []

const FIELD = /<[^>]+>/

/** Makes keys, under the prefix of one service. */
export class KeyMaker {
  readonly #prefix: string

  constructor (prefix: string) {
    this.#prefix = `${prefix}:`
  }

  /** @param fields what stands in the place of each `<…>`; an empty last one gives what such keys begin with */
  make<Name extends KeyName> (name: Name, ...fields: Fields<typeof keyPatterns[Name]['pattern']>): string
  make (name: KeyName, ...fields: readonly string[]): string {
    const [first = '', ...others] = parts.get(name) ?? []
    return others.reduce((key, part, index) => key + (fields[index] ?? '') + part, this.#prefix + first)
  }
}

const parts: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(keyPatterns).map(([name, { pattern }]) => [name, pattern.split(FIELD)])
)

/** What a script appends to one key to make another; before the last field if that ends the pattern. */
export function keyTail (base: KeyName, name: KeyName): string {
  const [from, to] = [keyPatterns[base].pattern, keyPatterns[name].pattern]
  if (!to.startsWith(from)) throw new Error(`${to} does not begin with ${from}.`)
  return to.slice(from.length).replace(/<[^>]+>$/, '')
}
