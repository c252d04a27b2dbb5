import { anonymousShare, isAnonymousKey } from '../../caller.js'
import { InitializeFailedError, ServerFullError, ShuttingDownError, TooManyRequestsError } from '../../errors.js'
import { passesIn } from '../../errors/passes-in.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import type { Log } from '../../log.js'
import type { Era } from '../../mcp/wire/protocol-versions.js'
import type { StdioSettings } from './options/settings.js'
import type { Command } from './process/server-process.js'
import type { KnownEras } from './program.js'
import { SharedServer } from './shared-server.js'

/** Whose server it is, and what it is started with. */
export interface ServerRequest {
  /** Those with the same key share a server. */
  key: string
  /** Whom its process counts for. */
  person: string
  /** Of those who share it. */
  era: Era
  command: Command
  log: Log
}

interface Member {
  server: SharedServer
  person: string
  startedAt: number
  usedAt: number
  idle: NodeJS.Timeout | undefined
}

interface Failures {
  count: number
  /** Milliseconds, by `performance.now`, before which none is started. */
  until: number
}

/** A server that has run for so long has not failed at its start. */
const STABLE_MS = 10_000
/** So many failures in a row, each soon after a start, cost no wait. */
const FREE_FAILURES = 2
const MAX_WAIT_MS = 60_000
const MAX_FAILURES = 10_000
/** Requests without a session leave their process idle within seconds. */
const REFUSED = { limit: 'hosted_processes', retryAfterMs: 1000 } as const

/** The processes of one stdio server: how many there may be, who uses which, and when they end. */
export class ServerPool {
  readonly #settings: StdioSettings
  readonly #members = new Map<string, Member>()
  /** Those that end. */
  readonly #ending = new Set<SharedServer>()
  readonly #failures = new BoundedMap<string, Failures>(MAX_FAILURES)
  readonly #known: KnownEras = new Map()
  #isClosed = false

  constructor (settings: StdioSettings) {
    this.#settings = settings
  }

  /** Number of processes. */
  get size (): number {
    return this.#members.size
  }

  find (key: string): SharedServer | undefined {
    return this.#members.get(key)?.server
  }

  /**
   * The server with a key; started if there is none.
   * @throws {TooManyRequestsError} if the person has as many as one may have
   * @throws {ServerFullError} if all are in use
   * @throws {InitializeFailedError} if the last ones have failed just now @throws {ShuttingDownError}
   */
  obtain (request: ServerRequest): SharedServer {
    const found = this.find(request.key)
    if (found !== undefined) return found
    if (this.#isClosed) throw new ShuttingDownError('This server is shutting down.', { retryAfterSeconds: 1 })
    this.#assertMayStart(request.key)
    this.#makeRoom(request.person)
    return this.#start(request)
  }

  /** Ends the server with a key. */
  end (key: string, reason: string): void {
    const member = this.#members.get(key)
    if (member !== undefined) this.#end(key, member, reason)
  }

  /** Ends all, and starts no more. Resolves when no process is left. */
  async close (): Promise<void> {
    this.#isClosed = true
    for (const [key, member] of this.#members) this.#end(key, member, 'this server is shutting down')
    await Promise.all([...this.#ending].map(server => server.end('')))
  }

  #start ({ key, person, era, command, log }: ServerRequest): SharedServer {
    const now = performance.now()
    const server = new SharedServer({
      command,
      log,
      limits: this.#settings.limits,
      era,
      known: this.#known,
      isForAll: this.#settings.per === 'shared',
      onUse: () => { this.#used(key, member) },
      onEnded: ({ hasFailed, hasBegun }) => {
        this.#forget(key, member)
        const hasRun = hasBegun && performance.now() - member.startedAt > STABLE_MS
        if (hasFailed && !hasRun) this.#failed(key)
        else this.#failures.delete(key)
      }
    })
    const member: Member = { server, person, startedAt: now, usedAt: now, idle: undefined }
    this.#members.set(key, member)
    return server
  }

  #used (key: string, member: Member): void {
    clearTimeout(member.idle)
    member.usedAt = performance.now()
    const { isIdle } = member.server
    member.server.setRef(!isIdle)
    if (!isIdle) return
    const end = () => { this.#end(key, member, 'nobody has used it for a while') }
    member.idle = setTimeout(end, this.#settings.limits.idleSeconds * 1000).unref()
  }

  #forget (key: string, member: Member): void {
    clearTimeout(member.idle)
    if (this.#members.get(key) === member) this.#members.delete(key)
  }

  #end (key: string, member: Member, reason: string): void {
    const { server } = member
    this.#forget(key, member)
    this.#ending.add(server)
    server.end(reason).finally(() => { this.#ending.delete(server) }).catch(() => {})
  }

  #failed (key: string): void {
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    const wait = count <= FREE_FAILURES ? 0 : Math.min(1000 * 2 ** (count - FREE_FAILURES - 1), MAX_WAIT_MS)
    this.#failures.set(key, { count, until: performance.now() + wait })
  }

  #assertMayStart (key: string): void {
    const wait = (this.#failures.get(key)?.until ?? 0) - performance.now()
    if (wait <= 0) return
    throw new InitializeFailedError(
      ...passesIn(Math.ceil(wait / 1000), 'The hosted server has failed several times.')
    )
  }

  #makeRoom (person: string): void {
    const { maxProcesses, maxProcessesPerPerson } = this.#settings.limits
    const own = [...this.#members].filter(([, member]) => member.person === person)
    const isOwn = this.#settings.per !== 'shared'
    if (isOwn && own.length >= maxProcessesPerPerson && !this.#endIdle(own)) {
      throw new TooManyRequestsError('You have as many hosted servers running as one person may have.', REFUSED)
    }
    const isAnonymous = isAnonymousKey(person)
    const anonymous = isAnonymous ? [...this.#members].filter(([, { person }]) => isAnonymousKey(person)) : []
    if (isAnonymous && anonymous.length >= anonymousShare(maxProcesses) && !this.#endIdle(anonymous)) {
      throw new ServerFullError(
        'There is no room for another hosted server of callers who have not logged in.',
        REFUSED
      )
    }
    if (this.#members.size >= maxProcesses && !this.#endIdle(isAnonymous ? anonymous : [...this.#members])) {
      throw new ServerFullError('There is no room for another hosted server now: all are in use.', REFUSED)
    }
  }

  /** Ends the one of these that nobody has used for longest. @returns false if all are in use */
  #endIdle (members: ReadonlyArray<readonly [string, Member]>): boolean {
    // what a session's own process knows is not given up for another
    if (this.#settings.per === 'session' && !this.#settings.mayRestart) return false
    const [longest] = members.filter(([, { server }]) => server.isIdle).sort(([, a], [, b]) => a.usedAt - b.usedAt)
    if (longest === undefined) return false
    this.#end(...longest, 'there was no room')
    return true
  }
}
