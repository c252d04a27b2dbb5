import { passesIn, TemporarilyUnavailableError, UpstreamError } from '../../errors.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { UpstreamClientRecord, UpstreamClientStore } from '../../stores/registrations.js'
import type { UpstreamDeletion, UpstreamDeletionQueue } from '../../stores/upstream-deletions.js'
import { isDue } from '../clients/clients.js'
import type { Client } from '../client.js'
import type { Keyring } from '../keyring.js'
import type { BrokerLog } from '../../log.js'
import type { RateLimits } from '../rate-limits.js'
import { upstreamStepMs, withLease } from '../with-lease.js'
import { visible } from '../../displayed-text.js'
import type { UpstreamClient } from './registration.js'
import type { Upstream } from './upstream.js'

export interface UpstreamClientsOptions {
  upstream: Upstream
  store: UpstreamClientStore
  deletions: UpstreamDeletionQueue
  leases: LeaseStore
  keyring: Keyring
  limits: RateLimits
  unusedClientSeconds: number
  clientSeconds: number
  log: BrokerLog
  now: () => number
}

// new registrations in a minute; people with a known client need none
const PER_ADDRESS = 10
const PER_EVERYBODY = 120
const MAX_REAPED = 100
// a deletion that has not ended by then has failed
const DELETION_LEASE_SECONDS = 120

/** Our clients at the upstream: a configured one for all, or one registered for each of our clients. */
export class UpstreamClients {
  readonly #options: UpstreamClientsOptions

  constructor (options: UpstreamClientsOptions) {
    this.#options = options
  }

  /** Whether each client has a registration of its own upstream. */
  get dynamic (): boolean {
    return this.#options.upstream.staticClient === undefined
  }

  /**
   * Our client upstream for one of our clients; registered once across replicas, when the first person is on their way
   * there.
   * @param address of that person
   * @throws {TemporarilyUnavailableError} if too many clients are new
   */
  async for (client: Client, address: string): Promise<UpstreamClient> {
    const known = await this.find(client.clientId)
    if (known !== undefined) return known
    const { leases, upstream } = this.#options
    const { clientId } = client
    return await withLease({
      leases,
      name: leaseNames.upstreamRegistration(clientId),
      timeoutMs: upstreamStepMs(upstream),
      work: async () => await this.find(clientId) ?? await this.#register(client, address),
      findResult: () => this.find(clientId),
      slowMessage: 'The login server is slow to register this client.'
    })
  }

  /** Our client upstream for one of our clients, if it has one. */
  async find (clientId: string): Promise<UpstreamClient | undefined> {
    const { upstream, store, keyring } = this.#options
    if (upstream.staticClient !== undefined) return upstream.staticClient
    const record = await store.find(clientId)
    const client = record && this.#open(record)
    if (record !== undefined && client !== undefined && keyring.isOutdated(record.sealed)) {
      await store.replace({ ...record, sealed: this.#seal(client, clientId) })
    }
    return client
  }

  /** Keeps a registration: it led to a grant. */
  async keep (clientId: string): Promise<void> {
    const { store, clientSeconds, now } = this.#options
    if (this.dynamic) await store.keep(clientId, Math.floor(now() / 1000) + clientSeconds)
  }

  /** Extends a registration while it is used; the store is written to only now and then. */
  async renew (clientId: string): Promise<void> {
    const { store, clientSeconds, now } = this.#options
    const record = this.dynamic ? await store.find(clientId) : undefined
    if (record !== undefined && isDue(record.expiresAt, clientSeconds, now())) await this.keep(clientId)
  }

  /** Deletes upstream registrations that led to no login, or are no longer used. Any replica retries failures. */
  async reap (): Promise<void> {
    const { store, deletions, upstream, log } = this.#options
    await this.#discard(await store.takeExpired(MAX_REAPED))
    for (const deletion of await deletions.claim(MAX_REAPED, DELETION_LEASE_SECONDS)) {
      const client = this.#open(deletion)
      try {
        if (client !== undefined) await upstream.registration.deregister(client)
        await deletions.done(deletion)
      } catch (err) {
        log.warn(
          { err, clientId: deletion.clientId },
          'an upstream registration could not be deleted; it will be tried again'
        )
      }
    }
  }

  async #discard (records: readonly UpstreamClientRecord[]): Promise<void> {
    const refused = await this.#options.deletions.add(records)
    if (refused > 0) {
      this.#options.log.warn({ refused }, 'upstream registrations are left behind: too many are waiting to be deleted')
    }
  }

  async #register (client: Client, address: string): Promise<UpstreamClient> {
    await this.#count(address)
    const { upstream, store, unusedClientSeconds, log, now } = this.#options
    const name = visible(client.metadata.client_name ?? '') || visible(client.clientId)
    const registered = await upstream.registration.register(name).catch((error: unknown) => {
      if (error instanceof UpstreamError) {
        log.error(
          { clientId: client.clientId, detail: error.detail },
          `a client was not registered at the login server: ${error.detail}`
        )
      }
      throw error
    })
    const record = {
      clientId: client.clientId,
      sealed: this.#seal(registered, client.clientId),
      expiresAt: Math.floor(now() / 1000) + unusedClientSeconds
    }
    const { standing, evicted } = await store.add(record, address)
    await this.#discard(evicted)
    // one that was sealed with a key that is gone
    if (standing.sealed !== record.sealed && this.#open(standing) === undefined) await store.replace(record)
    return registered
  }

  async #count (address: string): Promise<void> {
    const { limits } = this.#options
    for (
      const [key, max] of [[['upstream registration', 'address', address], PER_ADDRESS], [[
        'upstream registration',
        'everybody'
      ], PER_EVERYBODY]] as const
    ) {
      const { count, resetMs } = await limits.add(key, max)
      if (count > max) {
        const seconds = Math.max(1, Math.ceil(resetMs / 1000))
        throw new TemporarilyUnavailableError(...passesIn(seconds, 'Too many new applications are logging in.'))
      }
    }
  }

  #seal (client: UpstreamClient, clientId: string): string {
    return this.#options.keyring.seal(sealingPurpose(clientId), client)
  }

  #open ({ clientId, sealed }: UpstreamDeletion): UpstreamClient | undefined {
    const opened = this.#options.keyring.open(sealingPurpose(clientId), sealed)
    return isUpstreamClient(opened) ? opened : undefined
  }
}

function sealingPurpose (clientId: string): string {
  return `upstream client of ${clientId}`
}

function isUpstreamClient (value: unknown): value is UpstreamClient {
  return typeof value === 'object' && value !== null && 'clientId' in value && typeof value.clientId === 'string'
}
