import { randomBytes } from 'node:crypto'
import { createRequestStateCodec, type RequestStateCodec, type ServerContext } from '@modelcontextprotocol/server'
import { ownerOfRounds } from '../../anonymous-callers.js'

/** What our `requestState` names. */
export interface RequestState {
  /** The replica that the call waits in. */
  replicaId: string
  callId: string
  /** How often the call has asked: a state is good for one answer. */
  round: number
  /** What is called, with its arguments. */
  callee: string
}

/**
 * Seals the `requestState` of bridged calls (MCP 2026-07-28, multi round-trip requests), bound to the caller.
 * @param keys the first seals, all open; the same on every replica. Default: a random one
 * @param ttlSeconds how long a state is good for
 */
export function createRequestStates (
  keys: readonly Uint8Array[] = [randomBytes(32)],
  ttlSeconds: number
): RequestStateCodec<RequestState> {
  const codecs = keys.map(key => createRequestStateCodec<RequestState>({ key, ttlSeconds, bind: findOwner }))
  const [first] = codecs
  if (first === undefined) throw new Error('There is no key to seal request states with.')
  return {
    mint: (state, context) => first.mint(state, context),
    verify: async (state, context) => {
      for (const codec of codecs.slice(0, -1)) {
        try {
          return await codec.verify(state, context)
        } catch {}
      }
      return await (codecs.at(-1) ?? first).verify(state, context)
    }
  }
}

function findOwner ({ http }: ServerContext): string {
  const { clientId, extra } = http?.authInfo ?? {}
  return ownerOfRounds({ issuer: String(extra?.issuer), subject: String(extra?.subject), clientId: String(clientId) })
}
