import type { JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { isRequest, type JsonRpcResponse } from '../../mcp/wire/messages.js'
import type { BelongsTo } from '../wire/wire.js'
import type { Channel, ChannelServer } from './channel.js'
import { Handshake } from './handshake.js'
import { LogLevels } from './log-levels.js'
import { ReadingPace } from './reading-pace.js'
import { asksForRoots } from './roots.js'
import { CLIENT_GONE, RunningCalls } from './running-calls.js'
import { Program } from './program.js'
import { MAX_ASKED, type SharedServerOptions } from './shared-server-options.js'
import { Subscriptions } from './subscriptions.js'

/**
 * One process, which has one client as far as it knows, for several sessions and requests. Their ids and progress
 * tokens become its own; the handshake is made once. What the server sends finds its way back: a response and progress
 * to who has called; a request to the session whose call began last; `resources/updated` to those who have subscribed;
 * log messages to those who have calls; the rest to all.
 */
export class SharedServer implements ChannelServer {
  readonly #options: SharedServerOptions
  readonly #process: Program
  /** The one that was used last at the end. */
  readonly #channels = new Set<Channel>()
  readonly #calls = new RunningCalls()
  /** Requests of the server that wait for an answer, and who was asked. */
  readonly #asked = new Map<RequestId, Channel>()
  readonly #subscriptions = new Subscriptions<Channel>()
  readonly #levels = new LogLevels<Channel>()
  readonly #handshake: Handshake
  readonly #start: NodeJS.Timeout
  readonly #pace: ReadingPace
  #sentLevel: unknown
  #isOver = false
  #endReason = ''

  constructor (options: SharedServerOptions) {
    const { command, limits, era, known, isForAll } = options
    this.#options = options
    this.#handshake = new Handshake(isForAll)
    this.#process = new Program({
      command,
      limits,
      era,
      known,
      events: {
        onMessage: (message, of) => { this.#deliver(message, of) },
        onEnded: (reason, isOurs) => { this.#ended(reason, !isOurs) },
        findLog: () => this.#calls.last?.channel.log ?? [...this.#channels].at(-1)?.log ?? options.log
      }
    })
    const setPaused = (isPaused: boolean) => { this.#process.setPaused(isPaused) }
    this.#pace = new ReadingPace(this.#channels, isForAll ? undefined : this.#calls, setPaused)
    this.#start = setTimeout(() => { this.#startedTooSlowly() }, limits.startSeconds * 1000)
  }

  /** Whether nobody uses it. */
  get isIdle (): boolean { return this.#channels.size === 0 }

  join (channel: Channel, initialize: JSONRPCRequest): void {
    if (this.#isOver) {
      channel.fail(initialize.id, `The hosted server has just ended: ${this.#endReason}.`)
      channel.lost()
      return
    }
    this.#channels.add(channel)
    this.#pace.changed()
    this.#options.onUse()
    const request = this.#handshake.ask(channel, initialize, this.#calls.newId())
    if (request !== undefined) this.#tryToSend(request)
  }

  receive (channel: Channel, message: JSONRPCMessage): void {
    this.#channels.delete(channel)
    this.#channels.add(channel)
    if (isRequest(message)) this.#call(channel, message)
    else if ('method' in message) this.#notify(channel, message)
    else if (message.id !== undefined && this.#asked.get(message.id) === channel) {
      this.#asked.delete(message.id)
      this.#process.send(message)
    }
  }

  leave (channel: Channel): void {
    if (!this.#channels.delete(channel)) return
    this.#pace.changed()
    this.#handshake.leave(channel)
    this.#levels.leave(channel)
    for (const cancelled of this.#calls.leave(channel)) this.#tryToSend(cancelled)
    for (const [id, asked] of this.#asked) {
      if (asked === channel) this.#refuse(id, CLIENT_GONE)
    }
    for (const uri of this.#subscriptions.leave(channel)) {
      this.#tryToSend({ jsonrpc: '2.0', id: this.#calls.newId(), method: 'resources/unsubscribe', params: { uri } })
    }
    this.#options.onUse()
  }

  /** Whether it keeps this process running. */
  setRef (isRef: boolean): void {
    this.#process.setRef(isRef)
  }

  async end (reason: string): Promise<void> {
    await this.#process.end(reason)
  }

  #call (channel: Channel, request: JSONRPCRequest): void {
    const { id, method, params } = request
    const isEmpty = this.#isKnown(channel, method, params)
    if (method === 'initialize') this.join(channel, request)
    else if (this.#options.isForAll && method.startsWith('tasks/')) {
      channel.fail(id, 'The hosted server is shared by all: it has no tasks.', jsonRpcCodes.invalidRequest)
    } else if (isEmpty) channel.deliver({ jsonrpc: '2.0', id, result: {} })
    else {
      const isLevel = method === 'logging/setLevel'
      const sent = isLevel ? { ...request, params: { ...params, level: this.#sentLevel } } : request
      const own = this.#calls.begin(channel, sent)
      this.#pace.changed()
      try {
        this.#process.send(own)
      } catch (error) {
        this.#calls.cancel(channel, id)
        throw error
      }
    }
  }

  /** Whether the server knows what a request says, because another client has said it, or still holds to it. */
  #isKnown (channel: Channel, method: string, params: Record<string, unknown> = {}): boolean {
    const { uri, level } = params
    if (method === 'logging/setLevel' && typeof level === 'string') {
      const before = this.#sentLevel
      this.#sentLevel = this.#levels.set(channel, level)
      return this.#sentLevel === before
    }
    if (typeof uri !== 'string') return false
    if (method === 'resources/subscribe' && this.#subscriptions.has(uri)) {
      this.#subscriptions.add(uri, channel)
      return true
    }
    if (method !== 'resources/unsubscribe') return false
    return !this.#subscriptions.remove(uri, channel) && this.#subscriptions.has(uri)
  }

  #notify (channel: Channel, notification: JSONRPCNotification): void {
    const { method, params } = notification
    if (method === 'notifications/initialized' && !this.#handshake.complete()) return
    if (method === 'notifications/cancelled') {
      const own = this.#calls.cancel(channel, params?.requestId)
      if (own === undefined) return
      this.#process.send({ ...notification, params: { ...params, requestId: own } })
    } else if (method === 'notifications/progress') this.#reportProgress(channel, notification)
    else this.#process.send(notification)
  }

  /** A client reports on what the server has asked of it, maybe under the text of the token. */
  #reportProgress (channel: Channel, notification: JSONRPCNotification): void {
    const token = notification.params?.progressToken
    const id = [...this.#asked].find(([id, asked]) => asked === channel && String(id) === String(token))?.[0]
    const progressToken = id ?? token
    this.#process.send({ ...notification, params: { ...notification.params, progressToken } })
  }

  #deliver (message: JSONRPCMessage, of: BelongsTo): void {
    if (isRequest(message)) this.#ask(message, of)
    else if ('method' in message) this.#announce(message)
    else if (this.#handshake.take(message)) {
      clearTimeout(this.#start)
      // another client could not be served either
      if (!this.#handshake.hasResult) this.#tryToEnd('it has refused to begin')
    } else this.#respond(message)
  }

  #respond (response: JsonRpcResponse): void {
    const call = this.#calls.end(response)
    if (call === undefined) return
    const { channel, id, method, params } = call
    if (method === 'resources/subscribe' && 'result' in response && typeof params?.uri === 'string') {
      this.#subscriptions.add(params.uri, channel)
    }
    channel.deliver({ ...response, id }, this.#pace.of(channel))
  }

  #ask (request: JSONRPCRequest, { relatedRequestId, inputKey }: BelongsTo): void {
    const { id, method } = request
    if (method === 'ping') {
      this.#tryToSend({ jsonrpc: '2.0', id, result: {} })
      return
    }
    if (this.#options.isForAll) {
      this.#refuse(id, 'Several people share this server: it may ask none of them.')
      return
    }
    const call = relatedRequestId === undefined ? this.#calls.last : this.#calls.find(relatedRequestId)
    const channel = call?.channel ?? [...this.#channels].at(-1)
    if (channel === undefined) this.#refuse(id, 'No client is connected.')
    else if (this.#asked.size >= MAX_ASKED) this.#refuse(id, 'Too many requests wait for clients.')
    else if (asksForRoots(request) && !channel.passesRoots) {
      this.#refuse(id, 'This server does not learn the roots of its clients.')
    } else {
      this.#asked.set(id, channel)
      channel.deliver(request, { relatedRequestId: call?.id, ...inputKey !== undefined && { inputKey } })
    }
  }

  #announce (notification: JSONRPCNotification): void {
    const { method, params } = notification
    if (method === 'notifications/progress') this.#progress(notification)
    else if (method === 'notifications/cancelled') this.#giveUp(notification)
    else if (method === 'notifications/message') this.#say(notification)
    else if (method === 'notifications/resources/updated') {
      if (typeof params?.uri !== 'string') return
      for (const channel of this.#subscriptions.find(params.uri)) this.#tell(channel, notification)
    } else if (!this.#options.isForAll || method.endsWith('/list_changed')) {
      for (const channel of this.#channels) this.#tell(channel, notification)
    }
  }

  #progress (notification: JSONRPCNotification): void {
    const found = this.#calls.findProgress(notification.params?.progressToken)
    if (found === undefined) return
    const { channel, id, token } = found
    const told = { ...notification, params: { ...notification.params, progressToken: token } }
    channel.deliver(told, { relatedRequestId: id, ...this.#pace.of(channel) })
  }

  /** The server no longer waits for an answer. */
  #giveUp (notification: JSONRPCNotification): void {
    const id = notification.params?.requestId
    if (typeof id !== 'string' && typeof id !== 'number') return
    const channel = this.#asked.get(id)
    this.#asked.delete(id)
    channel?.deliver(notification)
  }

  /** Log messages name no call: those who have one may learn what it says. */
  #say (notification: JSONRPCNotification): void {
    const { level } = notification.params ?? {}
    if (this.#options.isForAll) {
      this.#options.log.debug({ serverPid: this.#process.pid, message: notification.params }, 'a hosted server logs')
      return
    }
    const calling = this.#calls.channels
    for (const channel of calling.size > 0 ? calling : this.#channels) {
      if (!this.#levels.wants(channel, level)) continue
      channel.deliver(notification, { relatedRequestId: this.#calls.lastOf(channel)?.id, ...this.#pace.of(channel) })
    }
  }

  #tell (channel: Channel, notification: JSONRPCNotification): void {
    channel.deliver(notification, { relatedRequestId: undefined, ...this.#pace.of(channel) })
  }

  #refuse (id: RequestId, message: string): void {
    this.#asked.delete(id)
    this.#tryToSend({ jsonrpc: '2.0', id, error: { code: jsonRpcCodes.serverError, message } })
  }

  /** Sends what nobody waits for. */
  #tryToSend (message: JSONRPCMessage): void {
    try {
      if (!this.#isOver) this.#process.send(message)
    } catch (err) {
      this.#options.log.debug({ err, serverPid: this.#process.pid }, 'a message did not reach a hosted server')
    }
  }

  #startedTooSlowly (): void {
    const seconds = this.#options.limits.startSeconds
    this.#process.hasNotBegun()
    this.#handshake.fail(`The hosted server has not begun within ${seconds} seconds.`)
    this.#ended('it has not begun in time', true)
    this.#tryToEnd('it has not begun in time')
  }

  #tryToEnd (reason: string): void {
    this.#process.end(reason).catch((err: unknown) => {
      this.#options.log.error({ err, serverPid: this.#process.pid }, 'a hosted server could not be ended')
    })
  }

  #ended (reason: string, hasFailed: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#endReason = reason
    clearTimeout(this.#start)
    this.#handshake.fail(`The hosted server did not begin: ${reason}.`)
    for (const { channel, id } of this.#calls.takeAll()) {
      channel.fail(id, `The hosted server did not finish this call: ${reason}.`)
    }
    this.#asked.clear()
    const channels = [...this.#channels]
    this.#channels.clear()
    this.#options.onEnded({ hasFailed: hasFailed || !this.#handshake.hasResult, hasBegun: this.#handshake.hasResult })
    for (const channel of channels) channel.lost()
  }
}
