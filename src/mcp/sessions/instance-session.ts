import type { JSONRPCMessage, JSONRPCNotification } from '@modelcontextprotocol/sdk/types.js'
import type { SessionChange, SessionRecord } from '../../stores/sessions.js'
import type { Log } from '../../log.js'
import type { Admission } from '../admission/admission.js'
import type { McpObserver } from '../observer.js'
import type { MaySubscribe } from '../server-events/may-subscribe.js'
import type { TaskTools } from '../tasks/task-tools.js'
import type { ResponseStreams } from '../transport/post-exchange.js'
import type { SseStream } from '../transport/sse-stream.js'

/** What the server instances of a process share. */
export interface InstanceHost {
  readonly admission: Admission
  readonly log: Log
  readonly observer: McpObserver | undefined
  readonly maySubscribe: MaySubscribe | undefined
  readonly taskTools: TaskTools
  /** Unique across replicas. */
  newInstanceTag (): string
  /** Passes on what the server of a person announces that belongs to no request. */
  announce (notification: JSONRPCNotification, person: string): void
  /** Hands a message of the client to whichever replica waits for it. */
  forward (sessionId: string, message: JSONRPCMessage): void
}

/** What a server instance needs of the session that it serves. */
export interface InstanceSession extends ResponseStreams {
  readonly host: InstanceHost
  readonly record: SessionRecord
  /** Whose session it is, whatever the client. */
  readonly person: string
  readonly streams: Iterable<SseStream>
  /** Whether this is the instance that serves the session now. */
  isServedBy (instance: object): boolean
  /** The instance's server has closed its side. */
  instanceClosed (instance: object): void
  /** Sends what belongs to no request. */
  say (text: string): void
  /** Changes the record, here, in the store and on the other replicas. */
  change (change: SessionChange): void
  /** Ends the responses that carry a stream; the stream itself continues in the log. */
  releaseStreams (streamId: string): void
}
