import type { JSONRPCMessage, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import { isRequest, type JsonRpcResponse } from '../../mcp/wire/messages.js'
import type { Era } from '../../mcp/wire/protocol-versions.js'
import { isModernOnly } from '../modern/is-modern-only.js'
import { ModernWire } from '../modern/modern-wire.js'
import { HostedError, toRpcError } from '../wire/hosted-error.js'
import type { BelongsTo } from '../wire/wire.js'
import type { StdioLimits } from './options/options.js'
import { ServerProcess, type Command } from './process/server-process.js'
import { StdioPeer } from './stdio-peer.js'

/** The era that the programs of a command are reached in, by that of the client. */
export type KnownEras = Map<Era, Era>

interface ProgramEvents {
  /** @param of the request that it belongs to; empty: not known */
  onMessage (message: JSONRPCMessage, of: BelongsTo): void
  /** Nothing more comes. `reason` may be shown to callers. `isOurs`: because `end` was called */
  onEnded (reason: string, isOurs: boolean): void
  /** Whose lines name the session that is served. */
  findLog (): Log
}

interface ProgramOptions {
  command: Command
  limits: StdioLimits
  /** Of its client: a program of both eras is reached in the same one. */
  era: Era
  known: KnownEras
  events: ProgramEvents
}

interface Modern {
  peer: StdioPeer
  wire: ModernWire
}

interface Waiting {
  id: RequestId
  resolve (response: JsonRpcResponse): void
  reject (error: Error): void
}

/** An older program may say nothing to what it does not know, and one that starts slowly says nothing yet. */
const PROBE_MS = 3000
const NO_REQUESTS = 'Servers of 2026-07-28 make no requests: they respond input_required.'

/**
 * A program, spoken to as one of the earlier revisions, whichever it serves. For a client of 2026-07-28 it is asked by
 * `server/discover` first. If it refuses, or is silent for a while, it gets `initialize`; if it exits, or was silent
 * because it was slow, it is started once more. What came of it is remembered for all processes of the command.
 */
export class Program {
  readonly #options: ProgramOptions
  #process: ServerProcess
  #modern: Modern | undefined
  #isModern = false
  #initializing: Waiting | undefined
  /** Whether it is asked for its era: if it exits, it is started once more. */
  #isProbing = false
  /** Which process this is; `replaced`: the first one has exited or will, and this is not the end. */
  #stage: 'first' | 'replaced' | 'second' = 'first'
  #isEnding = false
  #isRef = true

  constructor (options: ProgramOptions) {
    this.#options = options
    this.#process = this.#start()
  }

  get pid (): number | undefined {
    return this.#process.pid
  }

  /** @throws {Error} if it cannot get the message */
  send (message: JSONRPCMessage): void {
    if (isRequest(message) && message.method === 'initialize') {
      const { id } = message
      this.#begin(message)
        .catch((error: unknown): JsonRpcResponse => ({ jsonrpc: '2.0', id, error: toRpcError(error) }))
        .then(response => { this.#options.events.onMessage({ ...response, id }, {}) })
        .catch(() => {})
    } else if (this.#isProbing) throw new Error('it has not begun')
    else if (this.#isModern) this.#sendModern(message)
    else this.#process.send(message)
  }

  /** Reads no further, or again. */
  setPaused (isPaused: boolean): void {
    this.#process.setPaused(isPaused)
  }

  /** Whether it keeps this process running. */
  setRef (isRef: boolean): void {
    this.#isRef = isRef
    this.#process.setRef(isRef)
  }

  /** It has not responded to `initialize` in time: maybe because it was asked for its era, or not in the right one. */
  hasNotBegun (): void {
    const { era, known } = this.#options
    // the time was that of two processes
    if (this.#stage !== 'first') return
    if (this.#isProbing && !known.has(era)) known.set(era, 'legacy')
    else known.delete(era)
  }

  async end (reason: string): Promise<void> {
    this.#isEnding = true
    await this.#process.end(reason)
  }

  #start (): ServerProcess {
    const { command, limits, events } = this.#options
    return new ServerProcess(command, limits, {
      onMessage: message => { this.#received(message) },
      onEnded: (reason, isOurs) => { this.#ended(reason, isOurs) },
      findLog: () => events.findLog()
    })
  }

  async #begin (request: JSONRPCRequest): Promise<JsonRpcResponse> {
    const { era, known } = this.#options
    if ((known.get(era) ?? era) === 'legacy') return await this.#beginLegacy(request)
    this.#isProbing = true
    try {
      return await this.#probe(request, known.has(era))
    } finally {
      this.#isProbing = false
    }
  }

  async #beginLegacy (request: JSONRPCRequest): Promise<JsonRpcResponse> {
    const response = await this.#initialize(request)
    return 'error' in response && isModernOnly(response.error) ? await this.#discover(request) : response
  }

  /** @param isSure whether programs of this command are known to be of 2026-07-28 */
  async #probe (request: JSONRPCRequest, isSure: boolean): Promise<JsonRpcResponse> {
    const discovered = this.#discover(request)
    try {
      return await (isSure ? discovered : inTime(discovered))
    } catch (err) {
      this.#options.events.findLog().debug({ err, serverPid: this.pid }, 'a hosted server is not of 2026-07-28')
      this.#isModern = false
    }
    try {
      const response = await this.#initialize(request)
      if (!('error' in response) || !isModernOnly(response.error)) return this.#noted(response)
      this.#isModern = true
      return await discovered
    } catch (error) {
      if (this.#stage !== 'replaced' || this.#isEnding) throw error
    }
    this.#isProbing = false
    this.#stage = 'second'
    this.#process = this.#start()
    this.#process.setRef(this.#isRef)
    const { era, known } = this.#options
    // it may have exited because of what it does not know
    return known.get(era) === 'modern' ? await this.#discover(request) : this.#noted(await this.#initialize(request))
  }

  /** Remembers that `initialize` is what the programs of this command want. */
  #noted (response: JsonRpcResponse): JsonRpcResponse {
    const { era, known } = this.#options
    // one that has said meanwhile what it is was only slow
    if ('result' in response && known.get(era) !== 'modern') known.set(era, 'legacy')
    return response
  }

  async #initialize (request: JSONRPCRequest): Promise<JsonRpcResponse> {
    return await new Promise<JsonRpcResponse>((resolve, reject) => {
      this.#initializing = { id: request.id, resolve, reject }
      this.#process.send(request)
    })
  }

  /** Begins by `server/discover`. Rejects if the program is not of 2026-07-28. */
  async #discover (request: JSONRPCRequest): Promise<JsonRpcResponse> {
    const { era, known, events } = this.#options
    const peer = new StdioPeer(message => { this.#process.send(message) })
    let respond: (response: JsonRpcResponse) => void = () => {}
    const wire = new ModernWire(peer, {
      received: async (message, of) => {
        if (!('method' in message) && message.id === request.id) respond(message)
        else events.onMessage(message, of)
      },
      lost: () => {}
    }, events.findLog())
    this.#modern = { peer, wire }
    this.#isModern = true
    const response = await new Promise<JsonRpcResponse>((resolve, reject) => {
      respond = resolve
      wire.send(request).catch(reject)
    })
    known.set(era, 'modern')
    if (this.#initializing !== undefined) await this.#endSlow()
    return response
  }

  /** It has been sent `initialize` meanwhile: one of both eras takes that for its client's. */
  async #endSlow (): Promise<void> {
    this.#stage = 'replaced'
    await this.#process.end('it was slow to say that it is of 2026-07-28')
  }

  #sendModern (message: JSONRPCMessage): void {
    const { events } = this.#options
    this.#modern?.wire.send(message).catch((error: unknown) => {
      if (isRequest(message)) events.onMessage({ jsonrpc: '2.0', id: message.id, error: toRpcError(error) }, {})
      else events.findLog().debug({ err: error, serverPid: this.pid }, 'a message did not reach a hosted server')
    })
  }

  #received (message: JSONRPCMessage): void {
    if (this.#stage === 'replaced') return
    if (this.#modern?.peer.take(message) === true) return
    const initializing = this.#initializing
    if (initializing !== undefined && !('method' in message) && message.id === initializing.id) {
      this.#initializing = undefined
      initializing.resolve(message)
    } else if (this.#isModern && isRequest(message)) {
      const error = { code: jsonRpcCodes.methodNotFound, message: NO_REQUESTS }
      this.#tryToSend({ jsonrpc: '2.0', id: message.id, error })
    } else this.#options.events.onMessage(message, {})
  }

  #tryToSend (message: JSONRPCMessage): void {
    try {
      this.#process.send(message)
    } catch (err) {
      this.#options.events.findLog().debug({ err, serverPid: this.pid }, 'a message did not reach a hosted server')
    }
  }

  #ended (reason: string, isOurs: boolean): void {
    const { era, known, events } = this.#options
    if (this.#stage === 'first' && this.#isProbing && !known.has(era)) this.#stage = 'replaced'
    if (this.#stage !== 'replaced' || this.#isEnding) events.onEnded(reason, isOurs)
    this.#initializing?.reject(new HostedError(`it did not begin: ${reason}`))
    this.#initializing = undefined
    this.#modern?.wire.close().catch(() => {})
    this.#modern = undefined
  }
}

/** @throws {HostedError} (rejects with it) if there is no response for a while */
async function inTime (response: Promise<JsonRpcResponse>): Promise<JsonRpcResponse> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new HostedError('it does not respond to server/discover')) }, PROBE_MS).unref()
  })
  try {
    return await Promise.race([response, silence])
  } finally {
    clearTimeout(timer)
  }
}
