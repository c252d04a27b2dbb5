import type { Socket } from 'node:net'

/*
 * How far a client has read of what Node.js was given to send, while a write of many megabytes is under way. Node.js
 * has no public name for that: its own timeouts look at `writeQueueSize` of the socket's handle, and so does this. It
 * does not look at what the operating systems between have taken. If the member goes, only whole writes are seen: then
 * a client that needs longer than `stalledMs` for one write counts as stalled. To be deleted once Node.js
 * says it: `socket.bytesWritten` counts what still waits.
 */

/**
 * A number that differs whenever a client has taken something of what waits for it.
 * @returns undefined if nothing is sent over a socket (`inject`)
 */
export function findTakenBytes (socket: Socket | null): number | undefined {
  if (typeof socket?.bytesWritten !== 'number') return undefined
  return socket.bytesWritten - socket.writableLength - countUnderWay(socket)
}

function countUnderWay (socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const size: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'writeQueueSize') : 0
  return typeof size === 'number' ? size : 0
}
