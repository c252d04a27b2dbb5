import type { SessionChange, SessionRecord } from '../../stores/sessions.js'
import type { Log } from '../../log.js'
import type { CallerInfo } from '../../caller.js'
import type { Guard } from '../access/guard.js'
import type { Admission } from '../admission/admission.js'
import type { McpObserver } from '../observer.js'
import type { Replica } from '../replica.js'
import type { MaySubscribe } from '../server-events/may-subscribe.js'
import type { TaskTools } from '../tasks/task-tools.js'
import type { ResponseStreams } from '../transport/post-exchange.js'
import type { ServedRequests } from '../transport/served-requests.js'
import type { SessionMessenger } from './session-messenger.js'

/** What the server instances of a process share. */
export interface InstanceHost {
  readonly admission: Admission
  readonly replica: Replica
  readonly messenger: SessionMessenger
  readonly log: Log
  readonly observer: McpObserver | undefined
  readonly maySubscribe: MaySubscribe | undefined
  readonly taskTools: TaskTools
  /** Asks the policy; undefined: there is none. */
  readonly guard: Guard | undefined
}

/** The SSE responses of a session, as its server instance needs them. */
export interface InstanceStreams extends ResponseStreams {
  /**
   * Sends a message that belongs to no request.
   * @param onRefused called if a message that must not be dropped (`isKept`) has no room
   */
  say (data: string, isKept?: boolean, onRefused?: () => void): void
  /** Resolves once there is room for more such messages; undefined if there is room now. */
  readonly room: Promise<void> | undefined
  /** Whether so much waits that those who do not wait have sent too much. */
  readonly isOverfull: boolean
  /** Ends the responses that carry a stream; the stream itself continues in the log. */
  release (streamId: string): void
}

/** What a server instance needs of the session that it serves. */
export interface InstanceSession {
  readonly host: InstanceHost
  readonly record: SessionRecord
  /** Whose session it is, whatever the client. */
  readonly person: string
  /** Who called last. */
  readonly caller: CallerInfo
  readonly requests: ServedRequests
  readonly streams: InstanceStreams
  /** Whether this is the instance that serves the session now. */
  isServedBy (instance: object): boolean
  /** The instance's server has closed its side. */
  instanceClosed (instance: object): void
  /** Changes the record, here, in the store and on the other replicas. */
  change (change: SessionChange): void
}
