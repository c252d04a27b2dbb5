import type { JSONRPCNotification, Server } from '@modelcontextprotocol/server'
import { bareServer, type SdkServer2 } from '../sdk-servers.js'

/*
 * What this is: it passes on what an SDK 2.x server announces to everybody (such as `tools/list_changed`) while it
 * serves one request. The SDK drops these notifications, because a transport for one request has no other receiver.
 * What it is not: it leaves notifications that belong to the request to the SDK.
 * What breaks: if the SDK sends by anything but `notification`, these announcements no longer reach any listener
 * (test/eras/announcements.test.ts).
 * Delete it when the SDK's handler passes them to its `bus`.
 */

export type Announce = (notification: Pick<JSONRPCNotification, 'method' | 'params'>) => void

const wrapped = new WeakSet<Server>()

/** Calls `announce` with every notification of a server that belongs to no request. */
export function announceFrom (plugged: SdkServer2, announce: Announce): void {
  const server = bareServer(plugged)
  if (wrapped.has(server)) return
  wrapped.add(server)
  const notify = server.notification.bind(server)
  server.notification = async (notification, options) => {
    await notify(notification, options)
    if (options?.relatedRequestId === undefined) announce(notification)
  }
}
