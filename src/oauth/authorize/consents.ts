import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import type { ConsentStore } from '../../stores/consents.js'
import type { Client } from '../client.js'
import { classifyRedirectUri } from '../clients/redirect-uris.js'
import { personHash } from '../secrets.js'
import type { Identity } from '../upstream/identity.js'

export interface ConsentsOptions {
  store: ConsentStore
  /** How long a consent stands. */
  seconds: number
  now: () => number
}

/** What a consent covers. For another redirect URI or resource, or a further scope, the person is asked again. */
export type ConsentScope = Pick<AuthorizationTransaction, 'clientId' | 'redirectUri' | 'resource' | 'scopes'>

/** The clients that each person has approved and does not want to be asked about again. */
export class Consents {
  readonly #options: ConsentsOptions

  constructor (options: ConsentsOptions) {
    this.#options = options
  }

  /** Whether a person (by `personHash`) has approved all of this. */
  async cover (person: string, { clientId, redirectUri, resource, scopes }: ConsentScope): Promise<boolean> {
    const consent = await this.#options.store.find(person, { clientId, redirectUri, resource })
    return consent !== undefined && scopes.every(scope => consent.scopes.includes(scope))
  }

  /** Remembers what a person has approved. */
  async remember (person: string, { clientId, redirectUri, resource, scopes }: ConsentScope): Promise<void> {
    const { store, seconds, now } = this.#options
    await store.remember(person, {
      clientId,
      redirectUri,
      resource,
      scopes: [...scopes],
      expiresAt: Math.floor(now() / 1000) + seconds
    })
  }

  /** Forgets what a person has approved: of one client, or all. */
  async forget (person: string, clientId?: string): Promise<void> {
    await this.#options.store.forget(person, clientId)
  }
}

/** The person as consents name them; undefined if the upstream does not say who logged in. */
export function findPersonHash ({ issuer, subject }: Identity): string | undefined {
  return subject === undefined ? undefined : personHash({ issuer, subject })
}

/** Whether a consent may be remembered: not if any program on the machine, or any client, could pose as this one. */
export function isMemorable ({ kind }: Client, redirectUri: string): boolean {
  return kind !== 'document' && classifyRedirectUri(redirectUri) === 'web'
}
