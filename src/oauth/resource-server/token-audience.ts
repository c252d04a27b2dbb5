import type { VerifyAccessToken } from '../../caller.js'
import { InvalidTokenError } from '../../errors.js'
import { canonicalResource } from '../resources.js'
import { findClientId } from './token-caller.js'
import type { TokenClaims } from './token-kind.js'

/** What tokens may be for. */
export interface AcceptedAudiences {
  /** `aud` must name one of them, in any equivalent spelling. */
  audiences: readonly string[]
  /** Ids of clients whose tokens need no `aud`. */
  clientsWithoutAudience?: readonly string[]
}

/**
 * Makes the check whether `aud` names one of our resources (issuers pass on what clients wrote), or its client needs
 * none.
 */
export function acceptAudiences (
  { audiences, clientsWithoutAudience }: AcceptedAudiences
): (claims: TokenClaims) => boolean {
  const known = new Set(audiences.map(canonicalResource))
  const withoutAudience = new Set(clientsWithoutAudience)
  return claims => {
    const { aud: audience } = claims
    if (audience === undefined) return withoutAudience.has(findClientId(claims))
    return [audience].flat().some(name => typeof name === 'string' && known.has(canonicalResource(name)))
  }
}

/**
 * Accepts, of the tokens that are good here, those for one of several servers. So the issuer is asked about a token
 * once, and the limits of that are those of the service.
 * @param verify accepts the tokens for any of them
 */
export function onlyForAudiences (verify: VerifyAccessToken, accepted: AcceptedAudiences): VerifyAccessToken {
  const isForUs = acceptAudiences(accepted)
  return async (token, request) => {
    const caller = await verify(token, request)
    if (isForUs(caller.extra.claims ?? {})) return caller
    throw new InvalidTokenError('The access token is for another resource.', { reason: 'other_resource' })
  }
}
