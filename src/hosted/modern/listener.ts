import { SUBSCRIPTION_ID_META_KEY, type JSONRPCNotification } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'
import { getMember } from '../../members.js'
import { HostedEndedError } from '../wire/hosted-error.js'
import type { WireReceiver } from '../wire/wire.js'
import type { ListenEvents } from './modern-peer.js'

type Params = Record<string, unknown>

interface ListenerOptions {
  /** Sends `subscriptions/listen`, and listens until the signal aborts. */
  listen: (params: Params, signal: AbortSignal, events: ListenEvents) => Promise<void>
  receiver: WireReceiver
  log: Log
}

/** How long a subscription waits until the server has confirmed it. */
const CONFIRM_MS = 2000

/** Listens for what the server announces: by `subscriptions/listen`, once more when its filter changes. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #subscriptions = new Set<string>()
  #lists: Params = {}
  #isOpen = false
  #isClosed = false
  #current: AbortController | undefined

  constructor (options: ListenerOptions) {
    this.#options = options
  }

  /** Sets which lists to listen for: those that the server says may change. */
  filter (capabilities: Params): void {
    const changes = (feature: string) => getMember(capabilities[feature], 'listChanged') === true
    this.#lists = {
      ...changes('tools') && { toolsListChanged: true },
      ...changes('prompts') && { promptsListChanged: true },
      ...changes('resources') && { resourcesListChanged: true }
    }
  }

  open (): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#restart().catch(() => {})
  }

  /** Changes what is listened for; resolves when the server has confirmed it, or after a while. */
  async change (uri: string, isWanted: boolean): Promise<void> {
    if (isWanted) this.#subscriptions.add(uri)
    else this.#subscriptions.delete(uri)
    if (this.#isOpen) await this.#restart()
  }

  close (): void {
    this.#isClosed = true
    this.#current?.abort(new HostedEndedError('the connection was closed'))
  }

  async #restart (): Promise<void> {
    const before = this.#current
    const current = new AbortController()
    this.#current = current
    const confirmed = this.#begin(current.signal)
    // after the other one has begun, so that nothing is missed between them
    before?.abort(new HostedEndedError('another one takes its place'))
    await confirmed
  }

  async #begin (signal: AbortSignal): Promise<void> {
    const notifications = {
      ...this.#lists,
      ...this.#subscriptions.size > 0 && { resourceSubscriptions: [...this.#subscriptions] }
    }
    if (this.#isClosed || Object.keys(notifications).length === 0) return
    const { listen, receiver, log } = this.#options
    await new Promise<void>(resolve => {
      setTimeout(resolve, CONFIRM_MS).unref()
      listen({ notifications }, signal, {
        confirmed: resolve,
        received: message => receiver.received(withoutSubscription(message), { relatedRequestId: undefined })
      }).catch((err: unknown) => {
        if (!signal.aborted) log.debug({ err }, 'a hosted server does not announce changes')
        resolve()
      })
    })
  }
}

/** The notification as the earlier revisions have it. */
function withoutSubscription (message: JSONRPCNotification): JSONRPCNotification {
  const { _meta: { [SUBSCRIPTION_ID_META_KEY]: id, ...meta } = {}, ...params } = message.params ?? {}
  if (id === undefined) return message
  return { ...message, params: { ...params, ...Object.keys(meta).length > 0 && { _meta: meta } } }
}
