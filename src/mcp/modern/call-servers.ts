import { isAnonymous, type CallerInfo } from '../../caller.js'
import { InitializeFailedError, InvalidParamsError, ServiceError } from '../../errors.js'
import type { Log } from '../../log.js'
import { checkAccessOrPromise } from '../access/check-access.js'
import type { Guard, Refusals } from '../access/guard.js'
import { RefusedCallError } from '../access/refused-call-error.js'
import type { Bus } from '../../stores/bus.js'
import type { CreateServer, ServerContext } from '../create-server.js'
import { instanceLog } from '../instance-log.js'
import type { OwnerIds } from '../owner-ids.js'
import { isOfSdk2, makeServer, type SdkServer, type SdkServer1 } from '../sdk-servers.js'
import { announce, announceToAll } from '../server-events/announcements.js'
import type { Announce } from './announce-from.js'
import { BridgedServer } from './bridge/bridged-server.js'
import type { ModernCall } from './modern-call.js'

export interface CallServersOptions {
  createServer: CreateServer
  getUpstreamAccessToken?: (authInfo: CallerInfo) => Promise<string | undefined>
  /** Whether a server may serve one request after the other, of any caller. */
  reuseInstances?: boolean
  /** What servers see as session ids. */
  ownerIds: OwnerIds
  /** Whether the embedder decides who may subscribe to which resource. */
  isGuarded: boolean
  /** Asks the policy; undefined: there is none. */
  guard?: Guard | undefined
  bus: Bus
  log: Log
}

/** Makes the servers that calls are served by. */
export class CallServers {
  /** Whether a server may serve one request after the other. */
  readonly areReused: boolean
  /** Whether the servers made so far are of SDK 1.x. */
  areOfSdk1 = false
  readonly #options: CallServersOptions

  constructor (options: CallServersOptions) {
    this.#options = options
    this.areReused = options.reuseInstances === true
  }

  /**
   * Makes the server for a call.
   * @throws what `checkOrPromise` throws (rejects with it)
   */
  async make (call: ModernCall): Promise<SdkServer> {
    const context = this.areReused ? this.#contextForAll() : this.#contextFor(call)
    const server = await makeServer(this.#options.createServer, context)
    this.areOfSdk1 = !isOfSdk2(server)
    await this.checkOrPromise(server, call)
    return server
  }

  /**
   * Checks whether the caller may make a call that a server is to get.
   * @returns undefined if so; a promise if the server takes time to say which scopes it needs
   * @throws {InsufficientScopeError} @throws {InvalidTokenError} @throws {ForbiddenCallError}
   * @throws {RefusedCallError} (or rejects)
   */
  checkOrPromise (server: SdkServer, { message, caller }: ModernCall): Promise<void> | undefined {
    const { guard } = this.#options
    const refusals = checkAccessOrPromise(message === undefined ? [] : [message], { server, caller, guard })
    if (refusals instanceof Promise) return refusals.then(found => { this.#assertNotRefused(found) })
    this.#assertNotRefused(refusals)
    return undefined
  }

  #assertNotRefused (refusals: Refusals | undefined): void {
    if (refusals === undefined) return
    this.#options.guard?.assertNotForbidden(refusals)
    const [refusal] = refusals.values()
    if (refusal !== undefined) throw new RefusedCallError(refusal)
  }

  /**
   * Lets the bridge use an SDK 1.x server that was made for a call.
   * @param isListener whether it is there for its announcements
   */
  bridged (server: SdkServer1, call: ModernCall, isListener = false): BridgedServer {
    const { ownerIds, log } = this.#options
    const announce = isListener ? this.#announceToListener(call) : this.announceFor(call)
    return new BridgedServer({ server, isForMany: this.areReused && !isListener, announce, ownerIds, log })
  }

  /** Of a server that is elsewhere, each listener has a connection: what comes by it is for its own person. */
  #announceToListener ({ person }: ModernCall): Announce {
    const { bus, log } = this.#options
    return notification => { announce(bus, log, notification, { era: 'modern', person, isPersonal: true }) }
  }

  /** Takes the announcements of a server that serves many. */
  readonly announceForAll: Announce = notification => { this.#announce(notification, undefined) }

  /** Takes the announcements of a server that was made for a call, and may serve others. */
  announceFor ({ person }: ModernCall): Announce {
    return this.areReused ? this.announceForAll : notification => { this.#announce(notification, person) }
  }

  /** Ends a call for an error that its client may know. @returns whether it is one */
  refuse (call: ModernCall, error: unknown): boolean {
    const requestId = call.message?.id
    if (error instanceof InvalidParamsError) {
      call.fail(new InvalidParamsError(error.message, requestId === undefined ? {} : { requestId }))
    } else if (error instanceof InitializeFailedError && requestId !== undefined) {
      call.fail(error.inResponseTo(requestId))
    } else if (error instanceof RefusedCallError || (error instanceof ServiceError && error.statusCode !== 500)) {
      call.fail(error)
    } else {
      call.log.error({ err: error }, 'a server instance could not be made')
      return false
    }
    return true
  }

  /** Notifies the listeners of both eras, on every replica. @param person whom the server serves; undefined: many */
  #announce (notification: Parameters<Announce>[0], person: string | undefined): void {
    const { bus, log, isGuarded } = this.#options
    announce(bus, log, notification, { era: 'modern', person, isGuarded })
  }

  #contextFor ({ caller, log, person }: ModernCall): ServerContext {
    const { getUpstreamAccessToken, bus, log: serviceLog } = this.#options
    return {
      era: 'modern',
      authInfo: caller,
      log: instanceLog(log, () => ({ caller })),
      getUpstreamAccessToken: async () =>
        isAnonymous(caller.extra) ? undefined : await getUpstreamAccessToken?.(caller),
      announce: (event, { toPersonOnly = false } = {}) => {
        announceToAll(bus, serviceLog, event, toPersonOnly ? person : undefined)
      }
    }
  }

  /** What `createServer` gets if its servers serve many callers: nothing about any of them. */
  #contextForAll (): ServerContext {
    const { bus, log } = this.#options
    return {
      era: 'modern',
      log,
      get authInfo () {
        return refuseCaller()
      },
      getUpstreamAccessToken: async () => refuseCaller(),
      announce: (event, { toPersonOnly = false } = {}) => {
        if (toPersonOnly) refuseCaller()
        announceToAll(bus, log, event)
      }
    }
  }
}

function refuseCaller (): never {
  throw new Error(
    'createServer reads the caller, but with reuseInstances a server serves many callers: ' +
      'read it from the request instead, or do not set reuseInstances.'
  )
}
