import { createHash } from 'node:crypto'
import { AccessDeniedError, InvalidGrantError, InvalidRequestError } from '../../errors.js'
import type { GrantStore } from '../../stores/grants.js'
import type { Person } from '../../caller.js'
import type { Keyring } from '../keyring.js'
import type { PreregisteredClient } from '../client.js'
import type { Policy } from '../../policy/policy.js'
import type { ProtectedServer } from '../resources.js'
import { equalSecrets, hashSecret, newId } from '../secrets.js'
import type { TokenIssuer } from '../tokens/token-issuer.js'
import { parseRecord } from '../../parse-record.js'
import { visible } from '../../displayed-text.js'

export interface SignInsOptions {
  issuer: string
  /** Else a sign-in names a resource of its own: it is for none of the servers. */
  isOneServer: boolean
  tokens: TokenIssuer
  store: GrantStore
  keyring: Keyring
  now: () => number
}

/** Our own page for people, as a client. */
export const OWN_CLIENT_ID = 'connected-apps'
const PENDING = 'pending sign-in'
const SIGNED_IN = 'signed-in person'
/** How long a person stays signed in. */
export const SIGNED_IN_SECONDS = 3600

/** Our own page for people, as a client of our own authorization server. */
export function ownClient (issuer: string): PreregisteredClient {
  return {
    clientId: OWN_CLIENT_ID,
    clientName: 'Connected apps',
    redirectUris: [signInRedirectUri(issuer)],
    trusted: true
  }
}

const OWN_PATH = '/oauth/connections'

/**
 * What people sign in to there, if there are several MCP servers: none of those.
 * @param policy who may come
 */
export function ownServer (policy: Policy | undefined): ProtectedServer {
  return { paths: [OWN_PATH], scopes: ['connections'], ...policy && { policy } }
}

function signInRedirectUri (issuer: string): string {
  return `${issuer}/oauth/connections/callback`
}

/** Signs people in to this service itself, using the ordinary code flow; the tokens are revoked immediately. */
export class SignIns {
  readonly #options: SignInsOptions

  constructor (options: SignInsOptions) {
    this.#options = options
  }

  /** @returns where the browser goes, and the value of a cookie that it must bring back */
  begin (): { url: string, pending: string } {
    const { issuer, isOneServer, keyring } = this.#options
    const [state, verifier] = [newId(), newId()]
    const parameters = new URLSearchParams({
      response_type: 'code',
      client_id: OWN_CLIENT_ID,
      redirect_uri: signInRedirectUri(issuer),
      state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...!isOneServer && { resource: issuer + OWN_PATH }
    })
    return {
      url: `${issuer}/authorize?${parameters.toString()}`,
      pending: keyring.sign(PENDING, `${state}~${verifier}`)
    }
  }

  /**
   * Completes a sign-in.
   * @throws {InvalidRequestError} if it did not begin in this browser @throws {AccessDeniedError} if the login failed
   * @throws {InvalidGrantError}
   */
  async complete (answer: Readonly<Record<string, string | undefined>>, pending: string | undefined): Promise<Person> {
    const { tokens, store } = this.#options
    const verifier = this.#verifyPending(pending, answer.state)
    if (answer.code === undefined) {
      throw new AccessDeniedError(answer.error_description ?? 'The sign-in failed.', {
        detail: answer.error ?? 'no code'
      })
    }
    const { access_token: accessToken } = await tokens.request(
      { grant_type: 'authorization_code', code: answer.code, code_verifier: verifier },
      { clientId: OWN_CLIENT_ID, clientSecret: undefined, method: 'none' }
    )
    const found = await store.findAccessToken(hashSecret(accessToken))
    if (found === undefined) throw new InvalidGrantError('The sign-in has ended. Sign in again.')
    const { grantId, issuer, subject, claims } = found.grant
    // nothing is revoked at the upstream: some would end all logins of the person
    await store.end(grantId)
    const name = findName(claims)
    return { issuer, subject, ...name !== undefined && { name } }
  }

  /** The code verifier of a sign-in that began in this browser. */
  #verifyPending (pending: string | undefined, givenState = ''): string {
    const signed = pending === undefined ? undefined : this.#options.keyring.verify(PENDING, pending)
    const [state, verifier] = signed?.split('~') ?? []
    if (state === undefined || verifier === undefined || !equalSecrets(givenState, state)) {
      throw new InvalidRequestError('This sign-in began in another browser, or too long ago. Sign in again.')
    }
    return verifier
  }

  /** A person as the value of a cookie. */
  write (person: Person): string {
    const until = Math.floor(this.#options.now() / 1000) + SIGNED_IN_SECONDS
    return this.#options.keyring.sign(
      SIGNED_IN,
      Buffer.from(JSON.stringify({ ...person, until })).toString('base64url')
    )
  }

  /** The person in a cookie; undefined if there is none, or it has expired. */
  read (cookie: string | undefined): Person | undefined {
    const signed = cookie === undefined ? undefined : this.#options.keyring.verify(SIGNED_IN, cookie)
    if (signed === undefined) return undefined
    const { until, ...person }: Person & { until: number } = parseRecord(Buffer.from(signed, 'base64url').toString())
    return until > this.#options.now() / 1000 ? person : undefined
  }
}

/** How the page addresses the person, shortened to what fits into a cookie. */
function findName ({ name, email }: Readonly<Record<string, unknown>>): string | undefined {
  return [name, email].map(claim => typeof claim === 'string' ? visible(claim) : '').find(shown => shown !== '')
}
