import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { ANONYMOUS_ID, isAnonymous, ownerKey, toOwner, type CallerInfo } from '../caller.js'

/** Returns what a server sees as `sessionId` of a call without a session. */
export type OwnerIds = (caller: CallerInfo) => string

/**
 * Makes ids that identify the owner of a call (issuer, subject and client) without a session: whatever a server keeps
 * by `sessionId`, such as tasks, belongs to that owner alone. An id reveals nothing about the owner, cannot be guessed,
 * and is never sent to a client.
 * @param key must be the same on every replica, so that the ids are; default: a random one
 */
export function createOwnerIds (key: Uint8Array = randomBytes(32)): OwnerIds {
  const secret = Buffer.from(hkdfSync('sha256', key, '', 'fastify-mcp-oauth owner id', 32))
  const known = new WeakMap<CallerInfo, string>()
  return caller => {
    const id = known.get(caller) ?? deriveId(secret, caller)
    known.set(caller, id)
    return id
  }
}

function deriveId (secret: Buffer, caller: CallerInfo): string {
  const id = createHmac('sha256', secret).update(ownerKey(toOwner(caller))).digest('base64url')
  return isAnonymous(caller.extra) ? ANONYMOUS_ID + id : id
}
