import { personKey } from '../../caller.js'
import type { SessionRecord } from '../../stores/sessions.js'
import type { McpTransportsOptions } from '../options.js'
import { HandOvers, type HandedEnd, type HandOver, type HandOversOptions } from './hand-overs.js'
import { HandedPostSeal, type HandedPost } from './handed-post.js'
import { TakenPosts } from './taken-posts.js'

export interface HandedPostsOptions extends
  Pick<McpTransportsOptions, 'requestStateKeys'>,
  Omit<HandOversOptions, 'seal'> {}

/**
 * Takes a post as if it had arrived here. Resolves when the session's server has it; rejects with what refuses it.
 */
export type ReceivePost = (post: HandedPost) => Promise<void>

/** Hands posts to the replicas where their sessions run, and takes those of sessions that run here. */
export class HandedPosts {
  readonly #handOvers: HandOvers
  readonly #taken: TakenPosts
  readonly #receivers = new Map<SessionRecord['kind'], ReceivePost>()

  constructor ({ requestStateKeys, ...options }: HandedPostsOptions) {
    const { admission } = options
    const shared = { ...options, seal: new HandedPostSeal(requestStateKeys) }
    this.#handOvers = new HandOvers(shared)
    this.#taken = new TakenPosts({
      ...shared,
      receive: async (post, bytes) => {
        const receive = this.#receivers.get(post.kind)
        if (receive === undefined) throw new Error(`Sessions of the kind ${post.kind} are not served here.`)
        const leases = admission.takeResponse(personKey(post.caller.extra), bytes)
        try {
          await receive(post)
        } finally {
          for (const lease of leases) lease.release()
        }
      }
    })
  }

  /** Sets what takes the posts to sessions of a kind. */
  receive (kind: SessionRecord['kind'], receive: ReceivePost): void {
    this.#receivers.set(kind, receive)
  }

  /** Hands a post over. @see HandOvers */
  async handOver (replicaId: string, handOver: HandOver): Promise<HandedEnd> {
    return await this.#handOvers.handOver(replicaId, handOver)
  }

  /** Waits until nothing is on its way to other replicas, or `ms` have passed. */
  drain (ms: number): Promise<void> {
    return this.#handOvers.drain(ms)
  }

  /** Gives up what is on its way to other replicas. What they hand over is still responded to. */
  close (): void {
    this.#handOvers.close()
  }

  /** Responds to nothing more. */
  stop (): void {
    this.#taken.close()
  }
}
