import type { Log } from '../../log.js'
import type { Bus, BusMessages, PostOutcome } from '../../stores/bus.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import { runInBackground } from '../sessions/background.js'
import type { Replica } from '../replica.js'
import { TAKEN_KEPT_MS } from './hand-overs.js'
import type { HandedPost, HandedPostSeal } from './handed-post.js'
import { toRefusal } from './refusal.js'

export interface TakenPostsOptions {
  bus: Bus
  leases: LeaseStore
  replica: Replica
  seal: HandedPostSeal
  /**
   * Takes a post as if it had arrived here. Resolves when the session's server has it; rejects with what refuses it.
   * @param bytes length of the post, as it was sealed
   */
  receive: (post: HandedPost, bytes: number) => Promise<void>
  log: Log
}

/** Takes up, each once, the posts that other replicas hand to this one, where their session runs. */
export class TakenPosts {
  readonly #options: TakenPostsOptions
  readonly #unsubscribe: () => void
  #counter = 0

  constructor (options: TakenPostsOptions) {
    const { bus, replica, log } = options
    this.#options = options
    this.#unsubscribe = bus.subscribe('messagePosted', message => {
      if (message.replicaId !== replica.id) return
      runInBackground(this.#take(message), log, 'a message that another replica has received was not taken up')
    })
  }

  close (): void {
    this.#unsubscribe()
  }

  async #take ({ handOverId, origin, sealed }: BusMessages['messagePosted']): Promise<void> {
    const { bus, leases, replica } = this.#options
    // each delivery by its own name: the bus may deliver twice, and the origin gives up by the same lease
    const delivery = `${replica.id}.${this.#counter++}`
    if (!await leases.acquire(leaseNames.handOver(handOverId), delivery, TAKEN_KEPT_MS)) return
    await bus.send(origin, 'postSettled', { handOverId, outcome: await this.#receive(handOverId, sealed) })
  }

  async #receive (handOverId: string, sealed: string): Promise<PostOutcome> {
    const { seal, receive, log } = this.#options
    try {
      const post = await seal.open(sealed)
      if (post.handOverId !== handOverId) throw new Error('The message was sealed for another hand-over.')
      await receive(post, sealed.length)
      return { kind: 'accepted' }
    } catch (error) {
      const refusal = toRefusal(error)
      if (refusal !== undefined) return { kind: 'refused', refusal }
      log.error({ err: error }, 'a message that another replica has received could not be processed')
      return { kind: 'failed' }
    }
  }
}
