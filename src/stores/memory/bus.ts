import { EventEmitter } from 'node:events'
import type { Bus, BusMessages, BusTopic } from '../bus.js'

/** The bus of a single process. */
export class MemoryBus implements Bus {
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  readonly #listening = new Set<string>()

  async publish<T extends BusTopic> (topic: T, message: BusMessages[T]): Promise<void> {
    this.#emitter.emit(topic, message)
  }

  async send<T extends BusTopic> (replicaId: string, topic: T, message: BusMessages[T]): Promise<void> {
    if (this.#listening.has(replicaId)) this.#emitter.emit(topic, message)
  }

  subscribe<T extends BusTopic> (topic: T, listener: (message: BusMessages[T]) => void): () => void {
    this.#emitter.on(topic, listener)
    return () => { this.#emitter.off(topic, listener) }
  }

  /** Nothing is missed within a process. */
  onGap (): () => void {
    return () => {}
  }

  listenAs (replicaId: string): () => void {
    this.#listening.add(replicaId)
    return () => { this.#listening.delete(replicaId) }
  }
}
