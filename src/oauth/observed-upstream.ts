import { observed, type BrokerObserver, type UpstreamRequestEvent } from './events.js'
import type { UpstreamOptions } from './options.js'
import { Upstream, type Identity, type UpstreamClient, type UpstreamRequest, type UpstreamTokens } from './upstream.js'

/** The upstream, where every request of ours is told to an observer. */
export class ObservedUpstream extends Upstream {
  readonly #observe: BrokerObserver

  constructor (options: UpstreamOptions, callbackUrl: string, now: () => number, observe: BrokerObserver) {
    super(options, callbackUrl, now)
    this.#observe = observe
  }

  override register (clientName: string): Promise<UpstreamClient> {
    return this.#timed('registration', () => super.register(clientName))
  }

  override deregister (client: UpstreamClient): Promise<void> {
    return this.#timed('deregistration', () => super.deregister(client))
  }

  override redeem (client: UpstreamClient, query: string, request: UpstreamRequest): Promise<{ tokens: UpstreamTokens, identity: Identity }> {
    return this.#timed('code', () => super.redeem(client, query, request))
  }

  override refresh (client: UpstreamClient, refreshToken: string): Promise<UpstreamTokens> {
    return this.#timed('refresh', () => super.refresh(client, refreshToken))
  }

  override revoke (client: UpstreamClient, tokens: UpstreamTokens): Promise<void> {
    return this.#timed('revocation', () => super.revoke(client, tokens))
  }

  #timed<T> (operation: UpstreamRequestEvent['operation'], request: () => Promise<T>): Promise<T> {
    const begun = performance.now()
    const event = { type: 'upstream-request' as const, operation, get ms () { return performance.now() - begun } }
    return observed(this.#observe, event, request)
  }
}
