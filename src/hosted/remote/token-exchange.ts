import * as openid from 'openid-client'
import { BoundedMap } from '../../collections/bounded-map.js'
import { SingleFlight } from '../../collections/single-flight.js'
import { isLoopbackHost } from '../../loopback.js'
import { asItCame, fetchAnswer } from '../../oauth/upstream/answers/fetch-answer.js'
import { proxiedFetch } from '../../outbound/proxied-fetch.js'
import { Proxy } from '../../outbound/proxy.js'
import type { RemoteServerOptions, TokenExchangeOptions } from './options.js'
import { RemoteError } from './wire/remote-error.js'

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const TIMEOUT_SECONDS = 15
/** Tokens are renewed this long before they expire, or after three quarters of a short life. */
const LEEWAY_SECONDS = 30
/** RFC 8693 2.2.1 recommends `expires_in`; without it, the token is not kept for long. */
const DEFAULT_LIFETIME_SECONDS = 60
const MAX_TOKENS = 10_000

interface Exchanged {
  token: string
  /** Milliseconds since the epoch. */
  renewAt: number
}

/** Exchanges access tokens of persons (RFC 8693), and keeps what they got until shortly before it expires. */
export class TokenExchange {
  readonly #options: TokenExchangeOptions
  readonly #configuration: openid.Configuration
  readonly #tokens = new BoundedMap<string, Exchanged>(MAX_TOKENS)
  readonly #flights = new SingleFlight<string, Exchanged>()

  constructor (options: TokenExchangeOptions, { proxy, fetch }: Pick<RemoteServerOptions, 'proxy' | 'fetch'>) {
    const { tokenEndpoint, clientId, clientSecret } = options
    this.#options = options
    const url = new URL(tokenEndpoint)
    this.#configuration = new openid.Configuration(
      { issuer: url.origin, token_endpoint: url.href },
      clientId,
      undefined,
      openid.ClientSecretBasic(clientSecret)
    )
    this.#configuration.timeout = TIMEOUT_SECONDS
    const send = fetch ?? (proxy === undefined ? globalThis.fetch : proxiedFetch(new Proxy(proxy)))
    this.#configuration[openid.customFetch] = async (url, init) => asItCame(await fetchAnswer(send, url, init))
    if (url.protocol === 'http:' && isLoopbackHost(url.hostname)) openid.allowInsecureRequests(this.#configuration)
  }

  /**
   * Finds a person's token for the remote server.
   * @param person by `personKey`
   * @param rejected the token that the remote server did not take: it is no longer kept
   * @throws {RemoteError} (rejects with it) if there is none
   */
  async find (person: string, findSubjectToken: () => Promise<string>, rejected?: string): Promise<string> {
    const kept = this.#tokens.get(person)
    if (kept !== undefined && kept.token !== rejected && Date.now() < kept.renewAt) return kept.token
    const { token } = await this.#flights.run(person, async () => {
      const exchanged = await this.#exchange(await findSubjectToken())
      this.#tokens.set(person, exchanged)
      return exchanged
    })
    return token
  }

  async #exchange (subjectToken: string): Promise<Exchanged> {
    const { audience, resource, scope } = this.#options
    try {
      const { access_token: token, expires_in: lifetime = DEFAULT_LIFETIME_SECONDS } = await openid.genericGrantRequest(
        this.#configuration,
        GRANT,
        {
          subject_token: subjectToken,
          subject_token_type: ACCESS_TOKEN,
          ...audience !== undefined && { audience },
          ...resource !== undefined && { resource },
          ...scope !== undefined && { scope }
        }
      )
      return { token, renewAt: Date.now() + (lifetime - Math.min(LEEWAY_SECONDS, lifetime / 4)) * 1000 }
    } catch (cause) {
      throw new RemoteError('the login server does not exchange the token for it', { cause })
    }
  }
}
