import type { MessageExtraInfo } from '@modelcontextprotocol/server'

/** What a server is told with a message. */
export interface MessageExtra extends MessageExtraInfo {
  /** The HTTP request, as SDK 1.x hands it to tools. */
  requestInfo?: { headers: Record<string, string | string[] | undefined> }
}
