import type { JSONRPCNotification, ServerEvent } from '@modelcontextprotocol/server'
import type { ServerContext } from '../../mcp/create-server.js'
import { personKey } from '../../caller.js'

const LISTS = {
  'notifications/tools/list_changed': 'tools_list_changed',
  'notifications/prompts/list_changed': 'prompts_list_changed',
  'notifications/resources/list_changed': 'resources_list_changed'
} as const

/** Many connections learn of the same change. */
const PAUSE_MS = 100
const MAX_WAITING = 1000

/**
 * Notifies clients of what a remote server announces on connections that nobody uses at the moment: all clients of
 * changed lists, those of the connection's person of changed resources.
 */
export class IdleAnnouncements {
  readonly #waiting = new Set<string>()

  take (notification: JSONRPCNotification, context: ServerContext): void {
    const event = toEvent(notification)
    if (event === undefined) return
    const toPersonOnly = event.kind === 'resource_updated'
    const key = JSON.stringify(toPersonOnly ? [personKey(context.authInfo.extra), event] : event)
    if (this.#waiting.has(key) || this.#waiting.size >= MAX_WAITING) return
    this.#waiting.add(key)
    setTimeout(() => {
      this.#waiting.delete(key)
      context.announce(event, { toPersonOnly })
    }, PAUSE_MS).unref()
  }
}

function toEvent ({ method, params }: JSONRPCNotification): ServerEvent | undefined {
  if (isListChange(method)) return { kind: LISTS[method] }
  return method === 'notifications/resources/updated' && typeof params?.uri === 'string'
    ? { kind: 'resource_updated', uri: params.uri }
    : undefined
}

function isListChange (method: string): method is keyof typeof LISTS {
  return Object.hasOwn(LISTS, method)
}
