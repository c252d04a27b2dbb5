import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import type { ConsentStore } from '../../stores/consents.js'
import type { Client } from '../client.js'
import { classifyRedirectUri } from '../clients/redirect-uris.js'

export interface ConsentsOptions {
  store: ConsentStore
  /** How long a consent stands. */
  seconds: number
  now: () => number
}

/** What a consent covers. Another redirect URI or resource, or one scope more, is asked for again. */
export type ConsentScope = Pick<AuthorizationTransaction, 'clientId' | 'redirectUri' | 'resource' | 'scopes'>

/** The clients that each person has approved, and does not want to be asked about again. */
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

/** Whether a consent may stand: what any program on the machine, or any client, can pretend to be is asked for each time. */
export function isMemorable ({ kind }: Client, redirectUri: string): boolean {
  return kind !== 'document' && classifyRedirectUri(redirectUri) === 'web'
}
