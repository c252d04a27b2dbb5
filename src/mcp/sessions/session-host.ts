import type { EventLog } from '../../stores/event-log.js'
import type { SessionStore } from '../../stores/sessions.js'
import type { SdkServer } from '../sdk-servers.js'
import type { SessionLimits } from '../limits.js'
import type { StreamOptions } from '../options.js'
import type { OpenStreams } from '../transport/open-streams.js'
import type { InstanceHost, InstanceSession } from './instance-session.js'
import type { LiveInstances } from './live-instances.js'

/** What the sessions of a process share. */
export interface SessionHost extends InstanceHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  readonly instances: LiveInstances
  /** Whether a session runs at one replica only. */
  readonly keepsSessions: boolean
  createServer (session: Pick<InstanceSession, 'record' | 'caller' | 'requests'>): Promise<SdkServer>
  /** The session no longer runs here: another replica has it. */
  movedAway (sessionId: string): void
  /** The store no longer has a session: nothing of it stays here. */
  forget (sessionId: string): void
  /** Ends a session on every replica. */
  end (sessionId: string): void
}
