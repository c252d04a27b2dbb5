import type { ProviderApi } from './provider-api.js'

/** What a preset sets, by the names of the options of an upstream. What the options say themselves goes before. */
interface ProviderPreset {
  issuerUrl?: string
  authorizationUrl?: string
  tokenUrl?: string
  revocationUrl?: string
  userinfoUrl?: string
  subjectClaim?: string
  groupsClaim?: string
  clientAuthMethod?: 'client_secret_post'
  allowMissingNonce?: boolean
  pkce?: boolean
  scopes?: readonly string[]
  extraAuthorizeParams?: Readonly<Record<string, string>>
}

/** Claims of a person, as the login server says them. */
export type ProviderClaims = Readonly<Record<string, unknown>>

/** What rules look at: nothing else is asked for. */
export interface WantedClaims {
  groups: boolean
  email: boolean
}

/** A kind of login server: how it is reached, and how it says who somebody is. */
export interface Provider {
  preset: ProviderPreset
  /** Whether clients may register themselves there (RFC 7591). */
  registers: boolean
  /** The issuer, of what identifies one of many instances; undefined: the text is none of this kind. */
  findIssuer?: (text: string) => string | undefined
  /** What identifies one of many instances, for error messages. Absent: there is only one. */
  instance?: string
  /** Scopes without which it does not say the groups of a person. */
  groupScopes?: readonly string[]
  /** Whether only some instances know `groupScopes`; their metadata list them. */
  areGroupScopesListed?: boolean
  /** Claims that `complete` asks for, so that userinfo need not be asked for them. */
  asksFor?: ReadonlyArray<keyof WantedClaims>
  /** Claims to lay over those that came with the login, some of them asked for with the person's token. */
  complete?: (claims: ProviderClaims, wanted: WantedClaims, api: ProviderApi) => Promise<ProviderClaims>
}
