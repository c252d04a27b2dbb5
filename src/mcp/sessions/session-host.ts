import type { JSONRPCMessage, JSONRPCNotification } from '@modelcontextprotocol/sdk/types.js'
import type { EventLog } from '../../stores/event-log.js'
import type { SessionChange, SessionStore } from '../../stores/sessions.js'
import type { Admission } from '../admission/admission.js'
import type { Log, PluggedServer } from '../create-server.js'
import type { SessionLimits } from '../limits.js'
import type { LiveSession } from './live-session.js'
import type { MaySubscribe } from '../server-events/may-subscribe.js'
import type { McpObserver } from '../observer.js'
import type { OpenStreams } from '../transport/open-streams.js'
import type { StreamOptions } from '../options.js'
import type { TaskTools } from '../tasks/task-tools.js'

/** What the sessions of a process share. */
export interface SessionHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly admission: Admission
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  readonly taskTools: TaskTools
  readonly log: Log
  readonly observer: McpObserver | undefined
  createServer (session: LiveSession): PluggedServer | Promise<PluggedServer>
  /** Unique across replicas. */
  newStreamId (): string
  /** Unique across replicas. */
  newInstanceTag (): string
  /**
   * Makes room for a session's instance.
   * @throws {TooManyRequestsError} where the person has too many @throws {ServerFullError} where all others are at work
   */
  reserve (session: LiveSession): void
  /** Takes the room back. */
  release (session: LiveSession): void
  readonly maySubscribe: MaySubscribe | undefined
  /** Passes on what the server of a person announces that belongs to no request. */
  announce (notification: JSONRPCNotification, person: string): void
  /** Hands a message of the client to whichever replica waits for it. */
  forward (sessionId: string, message: JSONRPCMessage): void
  /** Tells the other replicas of a change of a session's record. */
  changed (sessionId: string, change: SessionChange): void
  /** Ends a session everywhere. */
  end (sessionId: string): void
}
