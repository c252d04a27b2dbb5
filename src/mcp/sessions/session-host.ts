import type { CallerInfo } from '../../caller.js'
import type { EventLog } from '../../stores/event-log.js'
import type { SessionRecord, SessionStore } from '../../stores/sessions.js'
import type { SdkServer } from '../sdk-servers.js'
import type { SessionLimits } from '../limits.js'
import type { StreamOptions } from '../options.js'
import type { OpenStreams } from '../transport/open-streams.js'
import type { InstanceHost } from './instance-session.js'
import type { LiveInstances } from './live-instances.js'

/** A session, as the log of its server names it. */
export interface ServedSession {
  readonly record: Pick<SessionRecord, 'id'>
  /** Who called last. */
  readonly caller: CallerInfo
  /** What the log calls the last HTTP request that had messages. */
  readonly requestId: string | undefined
}

/** What the sessions of a process share. */
export interface SessionHost extends InstanceHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  readonly instances: LiveInstances
  createServer (session: ServedSession): Promise<SdkServer>
  /** The store no longer has a session: nothing of it stays here. */
  forget (sessionId: string): void
  /** Ends a session on every replica. */
  end (sessionId: string): void
}
