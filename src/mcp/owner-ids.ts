import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { ownerKey, toOwner, type CallerInfo } from '../caller.js'

/** Tells what a server sees as `sessionId` of a call without a session. */
export type OwnerIds = (caller: CallerInfo) => string

/**
 * Ids that stand for who makes a call (the issuer, the subject and the client), where no session does: whatever a server
 * keeps by `sessionId`, such as tasks, is that caller's alone. They tell nothing of the caller, nobody can guess them, and no
 * client ever sees one.
 * @param key the same on every replica, so that the ids are; absent: one of this process
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
  return createHmac('sha256', secret).update(ownerKey(toOwner(caller))).digest('base64url')
}
