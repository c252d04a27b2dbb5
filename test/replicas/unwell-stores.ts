import type { Bus, BusMessages, BusTopic } from '../../src/stores/bus.js'
import type { LeaseStore } from '../../src/stores/leases.js'

/** A bus that delivers so many times, or later. */
export class HeldBus implements Bus {
  readonly #bus: Bus
  readonly #times: number
  readonly #held: Array<() => void> = []
  #topic: BusTopic | undefined

  constructor (bus: Bus, times = 1) {
    this.#bus = bus
    this.#times = times
  }

  /** Keeps the messages of a topic back. */
  hold (topic: BusTopic): void {
    this.#topic = topic
  }

  /** Delivers what was kept back, and what comes. */
  release (): void {
    this.#topic = undefined
    for (const deliver of this.#held.splice(0)) deliver()
  }

  async publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void> {
    await this.#bus.publish(topic, message)
  }

  async send<T extends BusTopic> (replicaId: string, topic: T, message: BusMessages[T]): Promise<void> {
    await this.#bus.send(replicaId, topic, message)
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    return this.#bus.subscribe(topic, message => {
      const deliver = () => { for (let times = 0; times < this.#times; times++) listener(message) }
      if (topic === this.#topic) this.#held.push(deliver)
      else deliver()
    })
  }

  onGap (listener: () => void): () => void {
    return this.#bus.onGap(listener)
  }

  listenAs (replicaId: string): () => void {
    return this.#bus.listenAs(replicaId)
  }
}

/** Leases that may show no other replica. */
export class NoReplicaLeases implements LeaseStore {
  readonly #leases: LeaseStore
  seesNone = false

  constructor (leases: LeaseStore) {
    this.#leases = leases
  }

  async acquire (name: string, holder: string, ttlMs: number): Promise<boolean> {
    return await this.#leases.acquire(name, holder, ttlMs)
  }

  async isHeld (name: string): Promise<boolean> {
    return !(this.seesNone && name.startsWith('replica:')) && await this.#leases.isHeld(name)
  }

  async release (name: string, holder: string): Promise<void> {
    await this.#leases.release(name, holder)
  }
}
