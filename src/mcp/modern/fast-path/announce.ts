import { McpServer, type JSONRPCNotification, type Server } from '@modelcontextprotocol/server'

const heard = new WeakSet<Server>()

/**
 * Hears what a server of SDK 2.x announces to everybody while it serves one request. The SDK drops it: the transport of
 * one request has nobody else to tell. (In a session, the session's transport hears it.)
 */
export function announceFrom (
  plugged: McpServer | Server,
  announce: (notification: Pick<JSONRPCNotification, 'method' | 'params'>) => void
): void {
  const server = plugged instanceof McpServer ? plugged.server : plugged
  if (heard.has(server)) return
  heard.add(server)
  const notify = server.notification.bind(server)
  server.notification = async (notification, options) => {
    await notify(notification, options)
    if (options?.relatedRequestId === undefined) announce(notification)
  }
}
