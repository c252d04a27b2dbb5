import type { MessageExtraInfo } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import type { InboundHttp } from '../observer.js'

/** What a server is told with a message. */
export interface MessageExtra extends MessageExtraInfo {
  /** The HTTP request, as SDK 1.x hands it to tools. */
  requestInfo?: { headers: Record<string, string | string[] | undefined> }
  /** Who makes the request. */
  authInfo?: CallerInfo
  /** The message brings a new instance to where its session stands. */
  isReplay?: boolean
  /** The same HTTP request, for observers. */
  http?: InboundHttp
}

/** The same, of a caller who is known. */
export interface OwnedExtra extends MessageExtra {
  authInfo: CallerInfo
}
