import { randomUUID } from 'node:crypto'
import { errorAnswer, param, type ReceivedRequest, type UpstreamAnswer } from './requests.js'

/** A client of the upstream: this service, mostly. */
export interface UpstreamClientRegistration {
  clientId: string
  /** Absent: a public client. */
  clientSecret?: string
  authMethod: string
  redirectUris: string[]
}

/** The clients that the upstream knows, by their ids. */
export class UpstreamClients extends Map<string, UpstreamClientRegistration> {
  readonly #registrationUrl: string
  readonly #accessTokens = new Map<string, string>()

  /** @param registrationUrl what a client's id is put behind, for RFC 7592 */
  constructor (registrationUrl: string) {
    super()
    this.#registrationUrl = registrationUrl
  }

  /** Registers a service by hand, with its callback: `us`, with the secret `shh`. */
  addByHand (
    serviceUrl: string,
    { authMethod = 'client_secret_post', ...client }: Partial<UpstreamClientRegistration> = {}
  ): void {
    const clientSecret = authMethod === 'none' ? {} : { clientSecret: 'shh' }
    this.set('us', {
      clientId: 'us',
      authMethod,
      redirectUris: [`${serviceUrl}/oauth/callback`],
      ...clientSecret,
      ...client
    })
  }

  /** The client of a request, by the one method it is registered for. */
  of (request: ReceivedRequest): UpstreamClientRegistration | undefined {
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const [id = '', secret = ''] = basic === undefined
      ? [param(request, 'client_id'), param(request, 'client_secret')]
      : Buffer.from(basic, 'base64').toString().split(':').map(decodeURIComponent)
    const method = basic !== undefined ? 'client_secret_basic' : secret === '' ? 'none' : 'client_secret_post'
    const client = this.get(id)
    return client !== undefined && client.authMethod === method && (client.clientSecret ?? '') === secret
      ? client
      : undefined
  }

  /** RFC 7591. */
  register (request: ReceivedRequest): UpstreamAnswer {
    const { redirect_uris: redirectUris, token_endpoint_auth_method: authMethod } = request.parameters
    if (!Array.isArray(redirectUris)) return errorAnswer(400, 'invalid_redirect_uri')
    const clientId = randomUUID()
    const [method, clientSecret, accessToken] = [
      typeof authMethod === 'string' ? authMethod : 'client_secret_basic',
      randomUUID(),
      randomUUID()
    ]
    this.set(clientId, {
      clientId,
      authMethod: method,
      redirectUris: redirectUris.map(String),
      ...method !== 'none' && { clientSecret }
    })
    this.#accessTokens.set(clientId, accessToken)
    return {
      status: 201,
      body: {
        ...request.parameters,
        client_id: clientId,
        token_endpoint_auth_method: method,
        ...method !== 'none' && { client_secret: clientSecret, client_secret_expires_at: 0 },
        registration_client_uri: this.#registrationUrl + clientId,
        registration_access_token: accessToken
      }
    }
  }

  /** RFC 7592 2.3. */
  deregister ({ method, url, headers }: ReceivedRequest): UpstreamAnswer {
    const clientId = url.href.slice(this.#registrationUrl.length)
    if (method !== 'DELETE' || headers.authorization !== `Bearer ${this.#accessTokens.get(clientId)}`) {
      return { status: 401 }
    }
    this.#accessTokens.delete(clientId)
    this.delete(clientId)
    return { status: 204 }
  }
}
