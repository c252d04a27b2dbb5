import { Cluster } from 'ioredis'
import { OperatorNeededError, passesIn, TemporarilyUnavailableError } from '../../../errors.js'
import { findOutageOfConnection } from '../../../errors/outage.js'
import {
  openClient,
  saysOperatorNeeded,
  saysUnavailable,
  type RedisClient,
  type RedisClientOptions
} from './open-client.js'

export interface RedisConnectionOptions extends RedisClientOptions {
  /**
   * Time that calls wait for a connection that was just lost, or is not there yet; after it they fail at once. Default:
   * 1000.
   */
  graceMs?: number
  /**
   * Called with errors that no caller waits for: a connection that is lost, a channel that may not be subscribed to.
   */
  onError?: (error: Error) => void
  /** Told when calls fail at once, because the connection has not come (back) in time. */
  onDown?: () => void
  /** Called after every command. `unavailable`: Redis could not be reached, or did not reply in time. */
  onCommand?: (command: ObservedCommand) => void
}

export interface ObservedCommand {
  outcome: 'ok' | 'error' | 'unavailable'
  /** With the time that it waited for a connection. */
  seconds: number
}

/** A Lua script: every change of more than one step is one. */
export interface Script {
  numberOfKeys: number
  lua: string
}

interface Waiting {
  start (): void
  reject (error: Error): void
}

const RETRY_AFTER_SECONDS = 2
const CLOSED = new Error('the stores are closed')

/**
 * The connection that commands take. Commands of one process take effect in the order they were made. None is sent
 * twice, nor after its caller was told that it failed; one that was under way then may still have run.
 */
export class RedisConnection {
  readonly #redis: RedisClient
  readonly #graceMs: number
  readonly #url: string
  readonly #onError: (error: Error) => void
  readonly #onDown: () => void
  readonly #onCommand: ((command: ObservedCommand) => void) | undefined
  readonly #waiting: Waiting[] = []
  readonly #readyListeners = new Set<() => void>()
  #state: 'opening' | 'open' | 'down' | 'closed' = 'opening'
  #grace: NodeJS.Timeout | undefined
  #lastError = new Error('there is no connection yet')

  /** @throws {ConfigError} where the URL is none of Redis */
  constructor (
    { graceMs = 1000, onError = () => {}, onDown = () => {}, onCommand, ...options }: RedisConnectionOptions
  ) {
    this.#graceMs = graceMs
    this.#url = options.url
    this.#onError = onError
    this.#onDown = onDown
    this.#onCommand = onCommand
    this.#redis = openClient(options)
    this.#redis.on('error', (error: Error) => {
      this.#lastError = error
      onError(withoutArguments(error))
    })
    this.#redis.on('ready', () => { this.#opened() })
    this.#redis.on('close', () => { this.#lost() })
    this.#giveGrace()
  }

  /** Whether commands are sent at once. */
  get isOpen (): boolean {
    return this.#state === 'open' && this.#redis.status === 'ready'
  }

  /** URLs of the nodes of a cluster, as far as they are known. */
  get nodeUrls (): string[] {
    if (!(this.#redis instanceof Cluster)) return []
    return this.#redis.nodes('master').map(({ options: { host = '', port = '' } }) => {
      const url = new URL(this.#url)
      url.hostname = host.includes(':') ? `[${host}]` : host
      url.port = String(port)
      return url.href
    })
  }

  /** Makes scripts known by their names. */
  define (scripts: Record<string, Script>): void {
    for (const [name, script] of Object.entries(scripts)) this.#redis.defineCommand(name, script)
  }

  /**
   * Runs one command.
   * @throws {TemporarilyUnavailableError} (rejects with it) where Redis cannot be reached, or does not answer in time:
   * it may or may not have run
   */
  run<T> (command: (redis: RedisClient) => Promise<T>): Promise<T> {
    return this.#onCommand === undefined ? this.#run(command) : this.#observed(this.#run(command), this.#onCommand)
  }

  async #observed<T> (running: Promise<T>, onCommand: (command: ObservedCommand) => void): Promise<T> {
    const begun = performance.now()
    let outcome: ObservedCommand['outcome'] = 'ok'
    try {
      return await running
    } catch (error) {
      outcome = error instanceof TemporarilyUnavailableError ? 'unavailable' : 'error'
      throw error
    } finally {
      onCommand({ outcome, seconds: (performance.now() - begun) / 1000 })
    }
  }

  #run<T> (command: (redis: RedisClient) => Promise<T>): Promise<T> {
    if (this.#state === 'open' && this.#redis.status !== 'ready') this.#lost()
    if (this.#state === 'open') return command(this.#redis).catch(rethrow)
    if (this.#state !== 'opening') {
      return Promise.reject(unavailable(this.#state === 'closed' ? CLOSED : this.#lastError))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ start: () => { command(this.#redis).catch(rethrow).then(resolve, reject) }, reject })
    })
  }

  /** Reports an error that no caller waits for. That Redis cannot be reached is known. */
  report (error: unknown): void {
    if (error instanceof OperatorNeededError) this.#onError(new Error(error.detail ?? error.message, { cause: error }))
    else if (error instanceof Error && !(error instanceof TemporarilyUnavailableError)) this.#onError(error)
  }

  /** Calls the listener whenever the connection has come (back). */
  onReady (listener: () => void): void {
    this.#readyListeners.add(listener)
  }

  /** Calls the listener with every message of a channel that this connection has subscribed to. */
  onMessage (listener: (channel: string, message: string) => void): void {
    this.#redis.on('message', listener)
  }

  /** Waits for the commands under way, then lets go of the connection. */
  async close (): Promise<void> {
    this.#state = 'closed'
    clearTimeout(this.#grace)
    this.#giveUpWaiting(CLOSED)
    if (this.#redis.status === 'ready') await this.#redis.quit().catch(() => {})
    this.#redis.disconnect()
  }

  #opened (): void {
    if (this.#state === 'closed') return
    this.#state = 'open'
    clearTimeout(this.#grace)
    for (const { start } of this.#waiting.splice(0)) start()
    for (const listener of this.#readyListeners) listener()
  }

  #lost (): void {
    if (this.#state !== 'open') return
    this.#state = 'opening'
    this.#giveGrace()
  }

  #giveGrace (): void {
    this.#grace = setTimeout(() => {
      this.#state = 'down'
      this.#giveUpWaiting(this.#lastError)
      this.#onDown()
    }, this.#graceMs)
  }

  #giveUpWaiting (reason: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(unavailable(reason))
  }
}

/** The error without the arguments of its command, which must not be logged. */
function withoutArguments (error: Error): Error {
  return 'command' in error ? new Error(`Redis: ${error.message}`) : error
}

function rethrow (error: Error): never {
  throw saysUnavailable(error) ? unavailable(error) : withoutArguments(error)
}

function unavailable (failure: Error): TemporarilyUnavailableError {
  // a cluster none of whose nodes could be asked
  const error = 'lastNodeError' in failure && failure.lastNodeError instanceof Error ? failure.lastNodeError : failure
  const detail = `Redis: ${error.message}`
  return saysOperatorNeeded(error) || findOutageOfConnection(error) === 'lasting'
    ? new OperatorNeededError('This server cannot use its store.', { detail })
    : new TemporarilyUnavailableError(
      ...passesIn(RETRY_AFTER_SECONDS, 'This server cannot reach its store.', { detail })
    )
}
