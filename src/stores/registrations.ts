/** A registration made by or for a client. It is reaped at `expiresAt` unless it was kept: it led to a grant. */
export interface Registration {
  clientId: string
  /** Epoch seconds; absent once the registration is kept. */
  expiresAt?: number
}

/** A client of ours, registered by RFC 7591. Plain JSON. */
export interface ClientRecord extends Registration {
  /** SHA-256 of the client secret; absent for public clients. */
  secretHash?: string
  /** The client metadata as registered (RFC 7591 2). */
  metadata: Record<string, unknown> & { redirect_uris: string[] }
  /** Epoch seconds. */
  issuedAt: number
}

/** What we are at the upstream on behalf of one client (dynamic mode). */
export interface UpstreamClientRecord extends Registration {
  /** The upstream's client information response, sealed. */
  sealed: string
}

/** Keeps registrations by client id. No method but `takeExpired` sees an expired one. */
export interface RegistrationStore<T extends Registration> {
  /** Adds a registration, unless there is one. @returns the one that stands */
  add (record: T): Promise<T>
  find (clientId: string): Promise<T | undefined>
  /** Puts a record in the place of one that stands; it stays as long as that would have. Does nothing where there is none. */
  replace (record: T): Promise<void>
  /** Lets a registration stay for good: it led to a grant. */
  keep (clientId: string): Promise<void>
  /** Removes expired registrations, at most `limit`. @returns what was removed: each to one caller only */
  takeExpired (limit: number): Promise<T[]>
}

export type ClientStore = RegistrationStore<ClientRecord>
export type UpstreamClientStore = RegistrationStore<UpstreamClientRecord>
