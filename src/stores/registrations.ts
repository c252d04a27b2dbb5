/** A registration made by or for a client. It is reaped at `expiresAt`; its use puts that off. */
export interface Registration {
  clientId: string
  /** Epoch seconds. */
  expiresAt: number
}

/** A client, registered by RFC 7591. Plain JSON. */
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

/** What may be kept of registrations that nobody has logged in to yet. */
export interface RegistrationBounds {
  /** Unused ones of one address; beyond, its own oldest go. */
  maxOfAddress: number
  maxBytesOfAddress: number
  /** Unused ones in all; beyond, the oldest of all go. */
  max: number
  maxBytes: number
}

export const REGISTRATION_BOUNDS: RegistrationBounds = {
  maxOfAddress: 500, maxBytesOfAddress: 1_048_576, max: 20_000, maxBytes: 33_554_432
}

/** A registration that was added, or stood already. */
export interface AddedRegistration<T> {
  /** The one that stands. */
  standing: T
  /** Unused ones that made room for it. */
  evicted: T[]
}

/** Keeps registrations by client id. No method but `takeExpired` sees an expired one. */
export interface RegistrationStore<T extends Registration> {
  /**
   * Adds a registration that is not used yet, unless there is one.
   * @param address whose registration it is, as limits count it
   * @throws {TemporarilyUnavailableError} if it is full and no unused registration can make room
   */
  add (record: T, address: string): Promise<AddedRegistration<T>>
  find (clientId: string): Promise<T | undefined>
  /**
   * Replaces an existing record, and keeps its expiry. Does nothing if there is
   * none.
   */
  replace (record: T): Promise<void>
  /** Lets a registration stay until then at least: it led to a grant. From now on no stranger's goes before it. */
  keep (clientId: string, expiresAt: number): Promise<void>
  /** Removes expired registrations, at most `limit`. @returns what was removed: each to one caller only */
  takeExpired (limit: number): Promise<T[]>
}

export type ClientStore = RegistrationStore<ClientRecord>
export type UpstreamClientStore = RegistrationStore<UpstreamClientRecord>
