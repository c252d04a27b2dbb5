import { randomBytes } from 'node:crypto'
import { ANONYMOUS_ID, isAnonymous, toOwner, type CallerInfo } from '../../../caller.js'
import { callerOfSession } from '../../anonymous-callers.js'
import type { SessionHost } from '../session-host.js'
import type { SessionRecord } from '../../../stores/sessions.js'

/** The record of a session that begins now, here. */
export function makeRecord (
  kind: SessionRecord['kind'],
  caller: CallerInfo,
  { guard, replica, keepsSessions, limits: { lifetimeSeconds } }:
  Pick<SessionHost, 'guard' | 'replica' | 'keepsSessions' | 'limits'>
): SessionRecord {
  const id = (isAnonymous(caller.extra) ? ANONYMOUS_ID : '') + randomBytes(24).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  return {
    id,
    kind,
    owner: toOwner(callerOfSession(caller, id)),
    ...(kind === 'sse' || keepsSessions) && { replicaId: replica.id },
    initialized: false,
    subscriptions: [],
    ...guard && { access: guard.fingerprintAccess(caller) },
    lastSeenAt: now,
    expiresAt: now + lifetimeSeconds
  }
}
