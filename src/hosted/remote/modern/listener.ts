import { setTimeout as delay } from 'node:timers/promises'
import { SUBSCRIPTION_ID_META_KEY } from '@modelcontextprotocol/server'
import type { Log } from '../../../log.js'
import { getMember } from '../../../members.js'
import type { RemoteResponse } from '../wire/http.js'
import { RemoteEndedError, RemoteError } from '../wire/remote-error.js'
import { parseRemoteMessages, type WireReceiver } from '../wire/wire.js'

type Params = Record<string, unknown>

interface ListenerOptions {
  /** Sends `subscriptions/listen`. */
  open: (params: Params, signal: AbortSignal) => Promise<RemoteResponse>
  receiver: WireReceiver
  log: Log
}

const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'
/** How long a subscription waits until the server has confirmed it. */
const CONFIRM_MS = 2000
const MIN_WAIT_MS = 1000
const MAX_WAIT_MS = 30_000

/** Listens for what the server announces: a stream of `subscriptions/listen`, opened again when its filter changes. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #subscriptions = new Set<string>()
  #lists: Params = {}
  #isOpen = false
  #isClosed = false
  #stream: AbortController | undefined

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
    this.#stream?.abort(new RemoteEndedError('the connection was closed'))
  }

  async #restart (): Promise<void> {
    this.#stream?.abort(new RemoteEndedError('another stream takes its place'))
    const params = {
      notifications: {
        ...this.#lists,
        ...this.#subscriptions.size > 0 && { resourceSubscriptions: [...this.#subscriptions] }
      }
    }
    if (this.#isClosed || Object.keys(params.notifications).length === 0) return
    const stream = new AbortController()
    this.#stream = stream
    await new Promise<void>(resolve => {
      setTimeout(resolve, CONFIRM_MS).unref()
      this.#listen(params, stream.signal, resolve).catch((err: unknown) => {
        if (!stream.signal.aborted) this.#options.log.debug({ err }, 'a remote server does not announce changes')
        resolve()
      })
    })
  }

  async #listen (params: Params, signal: AbortSignal, onConfirmed: () => void): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#read(await this.#options.open(params, signal), onConfirmed, () => { failures = 0 })
        failures++
      } catch (error) {
        const isRefused = error instanceof RemoteError && error.status !== undefined && error.status < 500
        if (signal.aborted || isRefused || (error instanceof RemoteError && error.isLasting)) throw error
        failures++
      }
      const ms = Math.min(MIN_WAIT_MS * 2 ** Math.min(failures, 5), MAX_WAIT_MS)
      await delay(ms, undefined, { signal, ref: false })
    }
  }

  async #read (response: RemoteResponse, onConfirmed: () => void, onMessage: () => void): Promise<void> {
    if (response.mediaType !== 'text/event-stream') {
      await response.discard()
      throw new RemoteError('it does not open a stream', { status: 400 })
    }
    for await (const { type, data } of response.events()) {
      if (type !== 'message' || data === '') continue
      for (const message of parseRemoteMessages(data)) {
        onMessage()
        if (!('method' in message) || 'id' in message) continue
        if (message.method === ACKNOWLEDGED) onConfirmed()
        else await this.#options.receiver.received(withoutSubscription(message), { relatedRequestId: undefined })
      }
    }
  }
}

/** The notification as the earlier revisions have it. */
function withoutSubscription<T extends { params?: Params | undefined }> (message: T): T {
  const meta = getMember(message.params, '_meta')
  if (getMember(meta, SUBSCRIPTION_ID_META_KEY) === undefined) return message
  const { _meta, ...params } = message.params ?? {}
  return { ...message, params }
}
