import type { AuthorizationTransaction, AuthorizationTransactionStore } from '../../stores/authorizations.js'
import type { Clients } from '../clients/clients.js'
import type { Client } from '../client.js'
import { loginOver } from './consent-forms.js'
import { observed, type BrokerObserver } from '../login-events.js'
import type { Identity } from '../upstream/identity.js'
import type { Keyring } from '../keyring.js'
import { hashSecret } from '../secrets.js'
import type { UpstreamClients } from '../upstream/upstream-clients.js'
import type { Upstream } from '../upstream/upstream.js'
import type { UpstreamTokens } from '../upstream/upstream-tokens.js'

/** Who has logged in at the upstream, for one of our clients. */
export interface Login {
  tokens: UpstreamTokens
  identity: Identity
}

export interface LoginLegOptions {
  clients: Clients
  transactions: AuthorizationTransactionStore
  upstream: Upstream
  upstreamClients: UpstreamClients
  keyring: Keyring
  /** From here to the callback. */
  seconds: number
  observe: BrokerObserver
}

/** The second leg: sends a person to log in at the upstream, and redeems what they bring back. */
export class LoginLeg {
  readonly #options: LoginLegOptions

  constructor (options: LoginLegOptions) {
    this.#options = options
  }

  /**
   * Returns the URL where the person logs in: the same one however often an attempt asks for it.
   * @param address of the person, to which what is stored is charged
   * @param links of earlier steps of the same login
   * @throws {InvalidRequestError} if the attempt is over
   * @throws {TemporarilyUnavailableError} if too many attempts are in progress
   */
  async send (
    id: string,
    transaction: AuthorizationTransaction,
    client: Client,
    address: string,
    links: readonly string[] = []
  ): Promise<string> {
    const { transactions, upstream, upstreamClients, keyring, seconds, observe } = this.#options
    return await observed(observe, { type: 'upstream', links: [...links, hashSecret(id)] }, async () => {
      const upstreamClient = await upstreamClients.for(client, address)
      const { url, codeVerifier, nonce } = await upstream.begin(upstreamClient, id, transaction.hints)
      const leg = {
        url,
        sealedCodeVerifier: keyring.seal(sealingPurpose(id), codeVerifier),
        ...nonce !== undefined && { nonce }
      }
      const standing = await transactions.add(id, { ...transaction, upstream: leg }, { address, ttlSeconds: seconds })
      if (standing?.upstream === undefined) throw loginOver()
      return standing.upstream.url
    })
  }

  /**
   * Takes the upstream's response to an attempt.
   * @param query as it came
   * @throws {OAuthError}
   */
  async redeem (
    id: string,
    { clientId, upstream: leg, hints }: AuthorizationTransaction,
    query: string
  ): Promise<Login & { client: Client }> {
    const { clients, keyring, upstream, upstreamClients } = this.#options
    const client = await clients.find(clientId)
    const codeVerifier = keyring.open(sealingPurpose(id), leg?.sealedCodeVerifier ?? '')
    if (typeof codeVerifier !== 'string') throw loginOver()
    const upstreamClient = await upstreamClients.find(clientId)
    if (upstreamClient === undefined) throw loginOver()
    const login = await upstream.redeem(upstreamClient, query, {
      state: id,
      codeVerifier,
      ...leg?.nonce !== undefined && { nonce: leg.nonce },
      ...hints?.max_age !== undefined && { maxAge: hints.max_age }
    })
    upstreamClients.confirm(clientId)
    return { client, ...login }
  }
}

function sealingPurpose (id: string): string {
  return `upstream code verifier of ${id}`
}
