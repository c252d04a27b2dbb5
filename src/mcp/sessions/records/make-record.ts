import { randomBytes } from 'node:crypto'
import { toOwner, type CallerInfo } from '../../../caller.js'
import type { SessionRecord } from '../../../stores/sessions.js'

/** The record of a session that begins now. @param replicaId where it begins */
export function makeRecord (
  kind: SessionRecord['kind'],
  caller: CallerInfo,
  replicaId: string,
  lifetimeSeconds: number
): SessionRecord {
  const now = Math.floor(Date.now() / 1000)
  return {
    id: randomBytes(24).toString('base64url'),
    kind,
    owner: toOwner(caller),
    ...kind === 'sse' && { streamReplicaId: replicaId },
    initialized: false,
    subscriptions: [],
    lastSeenAt: now,
    expiresAt: now + lifetimeSeconds
  }
}
