import type { SessionRecord, SessionStore } from './sessions.js'
import type { Bus, BusTopic } from './bus.js'
import type { CallLimitStore } from './call-limits.js'
import { isOfReplica, type LeaseStore } from './leases.js'
import type { SessionStores } from './stores.js'

/** What concerns every server: a login that ends, and what the stores themselves announce of a session, by its id. */
const SHARED_TOPICS: ReadonlySet<BusTopic> = new Set<BusTopic>(['grantEnded', 'sessionEnded', 'sessionChanged'])

/**
 * The part of some stores that one of several servers uses, so that nothing of one serves another, also for the same
 * person and client: sessions, messages between replicas, leases, counted calls. Streams and tasks belong to sessions.
 * @param server its name: letters, digits, `-`, `_`, `.`; the same on every replica
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { mcpTransports, separateStores, type McpTransportsOptions } from 'fastify-mcp-oauth'
 *
 * // in a context that has the path of the server as its prefix, and bearerAuth of its own
 * export async function addServer (context: FastifyInstance, name: string, options: McpTransportsOptions) {
 *   await context.register(mcpTransports, { ...options, ...separateStores(options, name) })
 * }
 * ```
 */
export function separateStores (stores: SessionStores, server: string): SessionStores {
  const { sessions, eventLog, leases, bus, callLimits } = stores
  return {
    sessions: separateSessions(sessions, server),
    eventLog,
    leases: separateLeases(leases, server),
    bus: separateBus(bus, server),
    ...callLimits && { callLimits: separateCallLimits(callLimits, server) }
  }
}

/** The owner of a session is one of this server: so are the bounds, and who finds it. */
function separateSessions (store: SessionStore, server: string): SessionStore {
  const suffix = `|${server}`
  const toStored = (record: SessionRecord): SessionRecord =>
    ({ ...record, owner: { ...record.owner, issuer: record.owner.issuer + suffix } })
  const get: SessionStore['get'] = async id => {
    const record = await store.get(id)
    if (record?.owner.issuer.endsWith(suffix) !== true) return undefined
    return { ...record, owner: { ...record.owner, issuer: record.owner.issuer.slice(0, -suffix.length) } }
  }
  return {
    create: (record, bounds) => store.create(toStored(record), bounds),
    get,
    change: (id, change, origin) => store.change(id, change, origin),
    touch: (id, seenAt) => store.touch(id, seenAt),
    delete: id => store.delete(id)
  }
}

function separateBus (bus: Bus, server: string): Bus {
  return {
    publish: (topic, message) => bus.publish(topic, SHARED_TOPICS.has(topic) ? message : { ...message, server }),
    send: (replicaId, topic, message) => bus.send(replicaId, topic, { ...message, server }),
    subscribe: (topic, listener) => {
      if (SHARED_TOPICS.has(topic)) return bus.subscribe(topic, listener)
      return bus.subscribe(topic, message => { if (findServer(message) === server) listener(message) })
    },
    onGap: listener => bus.onGap(listener),
    listenAs: replicaId => bus.listenAs(replicaId)
  }
}

function findServer (message: object): unknown {
  return 'server' in message ? message.server : undefined
}

function separateLeases (leases: LeaseStore, server: string): LeaseStore {
  const toName = (name: string) => isOfReplica(name) ? name : `${server}/${name}`
  return {
    acquire: (name, holder, ttlMs) => leases.acquire(toName(name), holder, ttlMs),
    isHeld: name => leases.isHeld(toName(name)),
    release: (name, holder) => leases.release(toName(name), holder)
  }
}

function separateCallLimits (store: CallLimitStore, server: string): CallLimitStore {
  // how a holder begins says whether it is an address
  const toHolder = (holder: string) => `${holder}|${server}`
  return {
    take: (holder, buckets, leaseMs) => store.take(toHolder(holder), buckets, leaseMs),
    giveBack: (holder, buckets) => store.giveBack(toHolder(holder), buckets),
    renew: (holder, running, leaseMs) => store.renew(toHolder(holder), running, leaseMs),
    release: (holder, running) => store.release(toHolder(holder), running)
  }
}
