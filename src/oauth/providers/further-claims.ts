import type { ServerMetadata } from 'openid-client'
import { findClaim } from '../../policy/people.js'
import type { UpstreamSettings } from '../upstream-settings.js'
import { ProviderApi, toGroups } from './provider-api.js'
import { findGroupScopes, findProvider } from './providers.js'
import type { Provider, WantedClaims } from './provider.js'
import type { Fetch } from '../upstream-observer.js'
import { knownScopes } from '../upstream/upstream-metadata.js'

type Claims = Readonly<Record<string, unknown>>

export interface FurtherClaimsOptions {
  settings: UpstreamSettings
  fetch: Fetch
  /** Of all further requests about one person together. */
  timeoutSeconds: number
  /** The names of claims that rules look at by now: nothing else is asked for. */
  claimNames: () => ReadonlySet<string>
}

/** The claim in which rules look for groups. */
const GROUPS = 'groups'

/** Claims that rules look at, and that do not come with the login: they are asked for, or have another name there. */
export class FurtherClaims {
  readonly #options: FurtherClaimsOptions
  readonly #provider: Provider | undefined

  constructor (options: FurtherClaimsOptions) {
    const { provider } = options.settings
    this.#options = options
    this.#provider = provider && findProvider(provider)
  }

  /** Scopes to ask for: of the settings, those that the server knows; and those for groups, if rules need them. */
  findScopes (server: Readonly<ServerMetadata>): string[] {
    const { settings } = this.#options
    const scopes = knownScopes(settings.scopes, server)
    return this.#wanted.groups ? [...scopes, ...findGroupScopes(settings, server.scopes_supported)] : scopes
  }

  /** Whether claims lack one that rules look at, other than those that `complete` asks for. */
  isMissing (claims: Claims): boolean {
    const { settings: { groupsClaim = GROUPS }, claimNames } = this.#options
    const { asksFor = [] } = this.#provider ?? {}
    return [...claimNames()].some(name =>
      !asksFor.some(asked => asked === name.replace(/_verified$/, '')) &&
      findClaim(claims, name === GROUPS ? groupsClaim : name) === undefined
    )
  }

  /**
   * The claims of a person, with those that have to be asked for.
   * @throws what `fetch` throws, `Response`s that say that the token is not good or that there is an outage, and
   *   OAuthErrors
   */
  async complete (claims: Record<string, unknown>, accessToken: string): Promise<Record<string, unknown>> {
    const { settings, fetch, timeoutSeconds } = this.#options
    const named = this.#nameGroups(claims)
    if (this.#provider?.complete === undefined) return named
    const api = new ProviderApi({
      accessToken,
      fetch,
      signal: AbortSignal.timeout(timeoutSeconds * 1000),
      userinfoUrl: settings.userinfoUrl,
      scopes: settings.scopes
    })
    return { ...named, ...await this.#provider.complete(named, this.#wanted, api) }
  }

  /** If groups have another name there, they are what that says, and nothing else. */
  #nameGroups (claims: Record<string, unknown>): Record<string, unknown> {
    const { groupsClaim = GROUPS } = this.#options.settings
    if (groupsClaim === GROUPS) return claims
    const { [GROUPS]: _, ...others } = claims
    const groups = findClaim(claims, groupsClaim)
    return groups === undefined ? others : { ...others, [GROUPS]: toGroups([groups].flat()) }
  }

  get #wanted (): WantedClaims {
    const names = this.#options.claimNames()
    return { groups: names.has(GROUPS), email: names.has('email') || names.has('email_verified') }
  }
}
