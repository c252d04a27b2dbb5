import type { SessionChange, SessionRecord } from '../../../stores/sessions.js'
import type { ServerTransport } from '../../transport/server-transport.js'
import type { MessageExtra } from '../../transport/message-extra.js'

/** What a server instance knows of its session, and how it comes to know what the session's record says. */
export class CatchUp {
  readonly #server: ServerTransport
  #isInitialized = false
  #logLevel: string | undefined
  readonly #subscriptions = new Set<string>()
  #following: Promise<void> | undefined

  constructor (server: ServerTransport) {
    this.#server = server
  }

  /** Notes what the client itself has changed by this instance. */
  note (change: SessionChange): void {
    if ('initialized' in change) this.#isInitialized = true
    else if ('logLevel' in change) this.#logLevel = change.logLevel
    else if ('subscribe' in change) this.#subscriptions.add(change.subscribe)
    else if ('unsubscribe' in change) this.#subscriptions.delete(change.unsubscribe)
  }

  /** Brings a new instance to the state of the session. */
  async replay (record: SessionRecord, extra: MessageExtra): Promise<void> {
    if (record.initializeParams === undefined) return
    await this.#server.request('initialize', record.initializeParams, { ...extra, isReplay: true })
    await this.follow(record, extra)
  }

  /** Informs the instance, one after the other, of what the record says and it does not know. */
  follow (record: SessionRecord, extra: MessageExtra): Promise<void> {
    this.#following ??= this.#follow(record, extra).finally(() => { this.#following = undefined })
    return this.#following
  }

  async #follow (record: SessionRecord, extra: MessageExtra): Promise<void> {
    // the record may change meanwhile
    for (let change = this.#findNews(record); change !== undefined; change = this.#findNews(record)) {
      this.note(change)
      if ('logLevel' in change) await this.#server.request('logging/setLevel', { level: change.logLevel }, extra)
      else if ('subscribe' in change) {
        await this.#server.request('resources/subscribe', { uri: change.subscribe }, extra)
      } else if ('unsubscribe' in change) {
        await this.#server.request('resources/unsubscribe', { uri: change.unsubscribe }, extra)
      } else this.#server.receive({ jsonrpc: '2.0', method: 'notifications/initialized' }, extra)
    }
  }

  #findNews ({ initialized, logLevel, subscriptions }: SessionRecord): SessionChange | undefined {
    if (initialized && !this.#isInitialized) return { initialized }
    if (logLevel !== undefined && logLevel !== this.#logLevel) return { logLevel }
    const subscribe = subscriptions.find(uri => !this.#subscriptions.has(uri))
    if (subscribe !== undefined) return { subscribe }
    const unsubscribe = [...this.#subscriptions].find(uri => !subscriptions.includes(uri))
    return unsubscribe === undefined ? undefined : { unsubscribe }
  }
}
