import { asOwner } from '../anonymous-callers.js'
import type { OwnedExtra } from '../transport/message-extra.js'
import type { PostResponse } from '../transport/post-response.js'
import type { PostedMessages } from '../wire/messages.js'
import type { LiveSession } from './live-session.js'
import type { ServerInstance } from './server-instance.js'

/**
 * Passes messages to the server instance of a session of this process.
 * @param response absent: the responses go to the one stream of the session (HTTP+SSE)
 * @returns undefined if the server has the messages already
 * @throws what refuses them
 */
export function passToInstance (
  session: LiveSession,
  instance: ServerInstance,
  posted: PostedMessages,
  extra: OwnedExtra,
  response?: PostResponse
): Promise<void> | undefined {
  const caller = asOwner(extra.authInfo, session.record.owner)
  session.calledBy(caller)
  session.used()
  const ownExtra = caller === extra.authInfo ? extra : { ...extra, authInfo: caller }
  return instance.receiveOrPromise(posted, ownExtra, caller, response)
}

/** The same; the session's server is rebuilt if it was dropped. */
export async function receiveHere (
  session: LiveSession,
  posted: PostedMessages,
  extra: OwnedExtra,
  response?: PostResponse
): Promise<void> {
  const caller = asOwner(extra.authInfo, session.record.owner)
  const instance = session.instance ?? await session.rebuild({ ...extra, authInfo: caller }, caller)
  await passToInstance(session, instance, posted, extra, response)
}
