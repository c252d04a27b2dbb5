import type { RequestListener } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose'
import type { Test } from 'tap'
import { listenFor } from './service.js'
import { WEB_URI, type Client, type Parameters, type Reachable } from './oauth-flow.js'

export const ALGORITHMS = ['RS256', 'ES256', 'PS256', 'EdDSA'] as const
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** A key of a client, of which the public part is published. */
export interface ClientKey {
  alg: string
  kid: string
  privateKey: CryptoKey
  jwk: JWK
}

export async function newKey (alg: string, kid = `key-${alg}`): Promise<ClientKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { alg, kid, privateKey, jwk: { ...await exportJWK(publicKey), kid, use: 'sig' } }
}

let assertions = 0

/** An assertion of an honest client, with claims and a header laid over it. */
export async function sign (
  { url }: Pick<Reachable, 'url'>,
  clientId: string,
  { alg, kid, privateKey }: ClientKey,
  claims: JWTPayload = {},
  header: Record<string, unknown> = {}
): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  return await new SignJWT({
    iss: clientId,
    sub: clientId,
    aud: `${url}/token`,
    iat: now,
    exp: now + 300,
    jti: `assertion-${assertions++}`,
    ...claims
  }).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
}

/** The parameters that authenticate a client by an assertion. */
export function asserted (jwt: string): Parameters {
  return { client_assertion_type: JWT_BEARER, client_assertion: jwt }
}

/** A host of metadata documents (`/client.json`) and key sets (`/jwks.json`), on loopback. */
export interface KeyHost {
  client: Client
  /** Laid over the document. */
  document: Record<string, unknown>
  keys: JWK[]
  /** Requests for the document, and for the keys. */
  asked: { document: number, keys: number }
  /** Answers instead for the keys. */
  answerKeys: RequestListener | undefined
  jwksUri: string
}

export async function keyHost (t: Test, document: Record<string, unknown> = {}, keys: JWK[] = []): Promise<KeyHost> {
  const asked = { document: 0, keys: 0 }
  const json = { 'content-type': 'application/json' }
  const port = await listenFor(t, (request, response) => {
    const isKeys = request.url?.startsWith('/jwks') === true
    asked[isKeys ? 'keys' : 'document']++
    if (isKeys && host.answerKeys !== undefined) {
      host.answerKeys(request, response)
      return
    }
    const document = {
      client_id: host.client.clientId,
      client_name: 'Signs',
      redirect_uris: [WEB_URI],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks_uri: host.jwksUri,
      ...host.document
    }
    response.writeHead(200, json).end(JSON.stringify(isKeys ? { keys: host.keys } : document))
  })
  const origin = `http://127.0.0.1:${port}`
  const host: KeyHost = {
    client: { clientId: `${origin}/client.json`, redirectUri: WEB_URI },
    document,
    keys,
    asked,
    answerKeys: undefined,
    jwksUri: `${origin}/jwks.json`
  }
  return host
}
