import type { OAuthError } from '../../errors.js'
import type { Client } from '../client.js'
import type { RedirectKind } from '../clients/redirect-uris.js'

/** What the person is asked. */
export interface ConsentRequest {
  /** Sealed: names this attempt in the decision. */
  transaction: string
  client: Client
  redirectUri: string
  redirectKind: RedirectKind
  scopes: readonly string[]
  /** The scope for everything that needs no scope of its own. */
  baseScope: string | undefined
  resource: string
  /** What people call the server, if there are several. */
  serverTitle: string | undefined
  /** Where the person logs in, and what we ask for there. */
  loginHost: string
  upstreamScopes: readonly string[]
  /** Whether the person may have their consent remembered. */
  memorable: boolean
  /** Who has logged in already, as far as that is known. */
  loggedInAs?: string
  /** The decision came before anybody can have read the page. */
  tooSoon?: boolean
}

/** Somebody who has logged in, and may not use this server. */
export interface DeniedPerson {
  /** Sealed: begins the attempt again, with another account. */
  transaction: string
  clientName: string | undefined
  resource: string
  loginHost: string
  /** As far as that is known. */
  loggedInAs?: string
}

/** What follows in the browser. */
export type NextStep =
  /** With an `error`, the client is told of it. */
  | { kind: 'redirect', url: string, error?: OAuthError }
  | { kind: 'consent', request: ConsentRequest }
  /** The person may try another account, or return to the client with the error. */
  | { kind: 'denied', error: OAuthError, url: string, person: DeniedPerson }
  /** An error for a client that nobody vouches for: the person decides whether to return to it. */
  | { kind: 'refusal', error: OAuthError, url: string }
  /** This account may not come: the person can use another one (`transaction`, as above), or return to the client. */
  | { kind: 'other-account', error: OAuthError, url: string, transaction: string }
