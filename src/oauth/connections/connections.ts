import { InvalidRequestError } from '../../errors.js'
import type { Grant, GrantStore } from '../../stores/grants.js'
import type { Clients } from '../clients/clients.js'
import type { Client } from '../client.js'
import type { Consents } from '../authorize/consents.js'
import { personHash } from '../secrets.js'
import type { Grants } from '../tokens/grants.js'
import type { StepRequest } from '../login-events.js'
import type { Person } from '../../caller.js'

/** An application that a person is connected with: one of their logins. */
export interface Connection {
  grant: Grant
  /** Undefined if the client is no longer known; its tokens still work. */
  client: Client | undefined
}

export interface ConnectionsOptions {
  store: GrantStore
  grants: Grants
  clients: Clients
  consents: Consents
}

/** The grants of a person, for that person to see and to end. */
export class Connections {
  readonly #options: ConnectionsOptions

  constructor (options: ConnectionsOptions) {
    this.#options = options
  }

  /** The applications that a person is connected with, the newest first. */
  async of ({ issuer, subject }: Person): Promise<Connection[]> {
    const { store, clients } = this.#options
    const grants = await store.findGrantsOf(issuer, subject)
    return await Promise.all(
      grants.map(async grant => ({ grant, client: await clients.findKnown(grant.clientId).catch(() => undefined) }))
    )
  }

  /**
   * Ends all connections of a person, because an operator says so. They are asked for their consent before any
   * application is connected again.
   * @returns how many there were
   */
  async endAll (person: Person): Promise<number> {
    const { store, grants, consents } = this.#options
    await consents.forget(personHash(person))
    let ended = 0
    // the store lists no more than so many at once
    for (let found = await store.findGrantsOf(person.issuer, person.subject); found.length > 0;) {
      await Promise.all(found.map(async ({ grantId }) => { await grants.end(grantId, 'policy') }))
      ended += found.length
      found = await store.findGrantsOf(person.issuer, person.subject)
    }
    return ended
  }

  /**
   * Ends a connection: its tokens, and its live streams on every replica. The application has to ask again.
   * @throws {InvalidRequestError} if it is not one of this person's
   */
  async end ({ issuer, subject }: Person, grantId: string, http?: StepRequest): Promise<void> {
    const { store, grants, consents } = this.#options
    const grant = await store.findGrant(grantId)
    if (grant === undefined || grant.issuer !== issuer || grant.subject !== subject) {
      throw new InvalidRequestError('This application is no longer connected.')
    }
    // first: even if the rest fails, the person is asked before the application is connected again
    await consents.forget(personHash(grant), grant.clientId)
    await grants.end(grantId, 'disconnected', http)
  }
}
