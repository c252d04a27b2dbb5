import { passesIn, TemporarilyUnavailableError, UpstreamError } from '../../errors.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { UpstreamClientRecord, UpstreamClientStore } from '../../stores/registrations.js'
import type { UpstreamDeletion, UpstreamDeletionQueue } from '../../stores/upstream-deletions.js'
import { isDue } from '../clients/clients.js'
import { BoundedMap } from '../../collections/bounded-map.js'
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
// requests in a minute that only ask whether the upstream still knows a client
const PROBES_PER_MINUTE = 120
// a login or a refresh shows that it does; the next person is sent there without asking
const CONFIRMED_MS = 300_000
const MAX_CONFIRMED = 10_000
// a secret that is about to expire serves no login that begins now
const SECRET_LEEWAY_SECONDS = 900
// a deletion that has not ended by then has failed
const DELETION_LEASE_SECONDS = 120

/** Our clients at the upstream: a configured one for all, or one registered for each of our clients. */
export class UpstreamClients {
  readonly #options: UpstreamClientsOptions
  /** Milliseconds since the epoch: until when the upstream is believed to know the registration of a client. */
  readonly #confirmed = new BoundedMap<string, number>(MAX_CONFIRMED)

  constructor (options: UpstreamClientsOptions) {
    this.#options = options
  }

  /** Whether each client has a registration of its own upstream. */
  get dynamic (): boolean {
    return this.#options.upstream.staticClient === undefined
  }

  /**
   * Our client upstream for one of our clients; registered once across replicas, when the first person is on their way
   * there, and again where the upstream has forgotten it: people would stay on a page there, and nobody would tell us.
   * @param address of that person
   * @throws {TemporarilyUnavailableError} if too many clients are new
   */
  async for (client: Client, address: string): Promise<UpstreamClient> {
    const { leases, upstream } = this.#options
    const { clientId } = client
    const known = await this.find(clientId)
    if (known !== undefined && (!this.dynamic || await this.#isGood(clientId, known))) return known
    const findAnother = async () => {
      const found = await this.find(clientId)
      return found?.clientId === known?.clientId ? undefined : found
    }
    return await withLease({
      leases,
      name: leaseNames.upstreamRegistration(clientId),
      timeoutMs: upstreamStepMs(upstream),
      work: async () => await findAnother() ?? await this.#register(client, address),
      findResult: findAnother,
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

  /** Takes note that the upstream knows the registration of a client. */
  confirm (clientId: string): void {
    if (this.dynamic) this.#confirmed.set(clientId, this.#options.now() + CONFIRMED_MS)
  }

  /** The upstream is asked, before the next person is sent there, whether it knows the registration of a client. */
  doubt (clientId: string): void {
    this.#confirmed.delete(clientId)
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

  /** Whether people can be sent to the upstream with a registration. Until one comes back, it is in doubt again. */
  async #isGood (clientId: string, known: UpstreamClient): Promise<boolean> {
    const { upstream, limits, log, now } = this.#options
    const { secretExpiresAt = Infinity } = known
    if (!upstream.registration.isFor(known) || secretExpiresAt - SECRET_LEEWAY_SECONDS < now() / 1000) return false
    const isConfirmed = (this.#confirmed.get(clientId) ?? 0) > now()
    this.doubt(clientId)
    if (isConfirmed) return true
    const { count } = await limits.add(['upstream probe', 'everybody'], PROBES_PER_MINUTE)
    if (count > PROBES_PER_MINUTE || await upstream.knows(known)) return true
    log.warn({ clientId }, 'the login server has forgotten the registration of a client: it is registered again')
    return false
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
    // one that was sealed with a key that is gone, or is not good
    if (standing.sealed !== record.sealed) {
      await store.replace(record)
      if (this.#open(standing) !== undefined) await this.#discard([standing])
    }
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
