import type * as openid from 'openid-client'

/** HTTP Basic authentication of a client (RFC 6749 2.3.1). */
export function clientSecretBasic (clientSecret: string): openid.ClientAuth {
  // the form encoding of RFC 6749 2.3.1 (appendix B) keeps -, _ and . as they are; many servers do not decode
  const encoded = (value: string) => new URLSearchParams([['', value]]).toString().slice(1)
  return (_server, { client_id: clientId }, _body, headers) => {
    headers.set(
      'authorization',
      `Basic ${Buffer.from(`${encoded(clientId)}:${encoded(clientSecret)}`).toString('base64')}`
    )
  }
}
