import { createHash, randomBytes } from 'node:crypto'
import {
  ANONYMOUS_ISSUER,
  isAnonymous,
  ownerKey,
  toOwner,
  type AnonymousCaller,
  type CallerInfo,
  type Owner
} from '../caller.js'

/*
 * Who calls without a token. Such a caller is told apart by what it holds: the id of a session, which nobody can guess.
 * Nothing that it does makes it somebody, and no token makes its session somebody's.
 */

const ADDRESS_LENGTH = 16

/** Makes the caller of a request without a token. @param address that limits count it by */
export function makeAnonymousCaller (address: string): AnonymousCaller {
  return {
    token: '',
    clientId: 'anonymous',
    scopes: [],
    extra: {
      issuer: ANONYMOUS_ISSUER + hash(address).slice(0, ADDRESS_LENGTH),
      subject: randomBytes(16).toString('base64url'),
      anonymous: true
    }
  }
}

/** The caller of a request of a session: an anonymous one is told apart by the session's id. */
export function callerOfSession (caller: CallerInfo, sessionId: string): CallerInfo {
  if (!isAnonymous(caller.extra)) return caller
  return { ...caller, extra: { ...caller.extra, subject: hash(sessionId) } }
}

/** An anonymous caller as the session knows it, whatever address it comes from now. */
export function asOwner (caller: CallerInfo, { issuer }: Owner): CallerInfo {
  if (caller.extra.issuer === issuer) return caller
  return { ...caller, extra: { ...caller.extra, issuer } }
}

/**
 * Whose a call is that waits for input without a session: its state, which nobody can forge, is all that anonymous
 * callers have in hand when they come back.
 */
export function ownerOfRounds (owner: Owner): string {
  return isAnonymous(owner) ? ANONYMOUS_ISSUER : ownerKey(owner)
}

/** @see ownerOfRounds */
export function callerOfRounds (caller: CallerInfo): string {
  return ownerOfRounds(toOwner(caller))
}

function hash (text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}
