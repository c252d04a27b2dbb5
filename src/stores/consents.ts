/** A person's standing consent: this client may have these scopes without asking again. Plain JSON. */
export interface ConsentRecord extends ConsentKey {
  scopes: string[]
  /** Epoch seconds. */
  expiresAt: number
}

/** What a consent is for; anything else is asked for again. */
export interface ConsentKey {
  clientId: string
  redirectUri: string
  resource: string
}

/** Standing consents of one person; beyond, those that end first go. */
export const MAX_CONSENTS_OF_ONE = 50

/**
 * The registry of the clients that each person has approved (MCP security best practices, "Confused Deputy Problem").
 * `person` is an opaque key. None of the methods sees what has expired.
 */
export interface ConsentStore {
  /** Keeps a consent, in the place of one for the same. */
  remember (person: string, consent: ConsentRecord): Promise<void>
  find (person: string, key: ConsentKey): Promise<ConsentRecord | undefined>
  /** Forgets what a person has consented to, for one client or for all. */
  forget (person: string, clientId?: string): Promise<void>
}
