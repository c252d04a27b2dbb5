import { isAnonymous, isOwner, type CallerInfo } from '../../caller.js'
import { TokenRequiredError, SessionNotFoundError, ShuttingDownError } from '../../errors.js'
import type { SessionRecord } from '../../stores/sessions.js'

/**
 * @throws {SessionNotFoundError} if the session is somebody else's, or of the other transport
 * @throws {TokenRequiredError} if it is a person's, and nobody has logged in
 */
export function assertAccess (record: SessionRecord, caller: CallerInfo, kind: SessionRecord['kind']): void {
  if (isAnonymous(caller.extra) && !isAnonymous(record.owner)) throw new TokenRequiredError()
  if (!isOwner(caller, record.owner) || record.kind !== kind) throw sessionNotFound()
}

/** What a client gets if it has no such session. */
export function sessionNotFound (): SessionNotFoundError {
  return new SessionNotFoundError('Session not found: it is unknown or has ended. Initialize a new one.')
}

/** What a client gets that comes when this process ends. */
export function shuttingDown (): ShuttingDownError {
  return new ShuttingDownError('This server is shutting down.', { retryAfterSeconds: 1 })
}
