import { Type } from '@sinclair/typebox'
import { defaultRedirectSchemes } from '../../oauth/clients/redirect-schemes.js'
import { CONSENT_DELAY_MS, defaultLifetimes, MAX_CONSENT_DELAY_MS } from '../../oauth/options.js'
import { DEFAULT_REQUESTS_PER_MINUTE } from '../../oauth/rate-limits.js'
import { DEFAULT_SCOPES, OPENID_SCOPES } from '../../oauth/scopes.js'
import { CLIENT_AUTH_METHODS } from '../../oauth/upstream/client-authentication.js'
import { SUBJECT_CLAIM } from '../../oauth/upstream/subject.js'
import { choice, flag, limit, list, optionalChoice, seconds, text } from './kinds.js'
import { PROVIDER_NAMES } from '../../oauth/providers/providers.js'

/** The upstream authorization server, our own, and its clients. */
export const oauthVariables = {
  OAUTH_PROVIDER: optionalChoice(
    'What kind of login server the upstream is: sets its endpoints, scopes, subject claim and where its groups are; ' +
      'each variable that is set goes before what it sets. With OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET that is all ' +
      'for google, github, gitlab, discord and linkedin; the others need OAUTH_ISSUER_URL',
    PROVIDER_NAMES
  ),
  OAUTH_ISSUER_URL: Type.Optional(text(
    'Issuer of the upstream authorization server, discovered by RFC 8414 or OpenID Connect; with OAUTH_PROVIDER also ' +
      'the id of the tenant (entra), the domain (auth0, okta), or the id of the user pool (cognito)'
  )),
  OAUTH_INTERNAL_URL: Type.Optional(text(
    'OAUTH_ISSUER_URL as this service reaches it, if browsers reach it elsewhere: all requests of this service go ' +
      'there. https, or http to a private address or an internal name; without a path, only the origin differs'
  )),
  OAUTH_AUTHORIZATION_URL: Type.Optional(text('Authorization endpoint of an upstream without discovery')),
  OAUTH_TOKEN_URL: Type.Optional(text('Token endpoint of an upstream without discovery')),
  OAUTH_REGISTRATION_URL: Type.Optional(text('Registration endpoint (RFC 7591) of an upstream without discovery')),
  OAUTH_REVOCATION_URL: Type.Optional(text('Revocation endpoint (RFC 7009) of an upstream without discovery')),
  OAUTH_USERINFO_URL: Type.Optional(text(
    'Endpoint that returns who a person is, as JSON, for their upstream access token; for an upstream that issues no ' +
      'ID token and has no OpenID userinfo endpoint'
  )),
  OAUTH_SUBJECT_CLAIM: Type.Optional(text(
    'Claim of the ID token or userinfo that identifies a person, and never changes. Default: that of OAUTH_PROVIDER, ' +
      `or ${SUBJECT_CLAIM}`
  )),
  OAUTH_GROUPS_CLAIM: Type.Optional(text(
    'Claim of the ID token or userinfo that has the groups of a person, by its name or its path with dots ' +
      '(realm_access.roles): the rules look for them in groups. Default: that of OAUTH_PROVIDER, or groups'
  )),
  OAUTH_CLIENT_ID: Type.Optional(
    text('Client registered at the upstream (static mode). Default: each client is registered there (dynamic mode)')
  ),
  OAUTH_CLIENT_SECRET: Type.Optional(text('Secret of OAUTH_CLIENT_ID')),
  OAUTH_CLIENT_AUTH_METHOD: optionalChoice(
    'How OAUTH_CLIENT_ID authenticates; auto: with the secret, as the upstream says, and the other way once if it ' +
      'responds with invalid_client; basic and post are short for client_secret_basic and client_secret_post. ' +
      'Default: what OAUTH_PROVIDER needs, or auto',
    ['auto', 'basic', 'post', ...CLIENT_AUTH_METHODS]
  ),
  OAUTH_CLIENT_KEY: Type.Optional(
    text('Private key of OAUTH_CLIENT_ID for private_key_jwt: PEM (PKCS 8, \\n for line breaks), or a JWK as JSON')
  ),
  OAUTH_ALLOW_MISSING_NONCE: Type.Optional(Type.Boolean({
    description: 'Whether an ID token may lack the nonce that was sent (LinkedIn); PKCE and state then protect the ' +
      'login alone. Default: what OAUTH_PROVIDER needs, or false'
  })),
  OAUTH_PKCE: optionalChoice(
    'Whether the login at the upstream is protected by PKCE; off only for one that refuses a code_verifier ' +
      '(LinkedIn): nonce and state then protect the login alone. Default: what OAUTH_PROVIDER needs, or on',
    ['on', 'off']
  ),
  OAUTH_ALLOWED_TENANTS: list(
    'Ids of the Microsoft Entra tenants whose people may log in, if OAUTH_ISSUER_URL is that of many (common, ' +
      'organizations); * for all, which is everybody with a Microsoft account'
  ),
  OAUTH_REGISTRATION_GENERATION: text(
    'Dynamic mode: change it (to anything) to drop all registrations at the upstream; each client is registered ' +
      'again when the next person logs in with it',
    { default: '' }
  ),
  OAUTH_SCOPES: Type.Optional(text(
    `Scopes requested from the upstream (space-separated), less those of ${OPENID_SCOPES.join(' ')} that its ` +
      'metadata lacks. Default: what OAUTH_PROVIDER needs, also for the groups that rules name, or those four'
  )),
  OAUTH_EXTRA_AUTHORIZE_PARAMS: Type.Optional(text(
    'More parameters for the upstream\'s authorization endpoint, as a query string: audience=https://api.example.com. ' +
      'Default: what OAUTH_PROVIDER needs, or none'
  )),

  AUTH_MODE: choice(
    'broker: clients log in here, people upstream; resource-server: clients bring tokens of OAUTH_ISSUER_URL, which ' +
      'are only verified',
    'broker',
    ['broker', 'resource-server']
  ),
  OAUTH_AUDIENCES: list(
    'Values of aud to accept in the mode resource-server, besides the URLs of the MCP endpoints'
  ),
  OAUTH_CLIENTS_WITHOUT_AUDIENCE: list(
    'Clients whose tokens need no aud in the mode resource-server, as those of Amazon Cognito; such a token is good ' +
      'at every resource of its issuer'
  ),
  OAUTH_STRICT_TOKEN_TYPE: flag(
    'Whether the mode resource-server accepts only JWTs that are marked as access tokens of RFC 9068 (typ: at+jwt)',
    false
  ),

  MCP_SCOPES: text(
    'Our own scopes (space-separated); the first is granted if a client names none, and every token must have it',
    { default: DEFAULT_SCOPES.join(' ') }
  ),
  MCP_SCOPE_DESCRIPTIONS: text('Descriptions of the scopes for the consent page, as JSON: {"mcp":"Use its tools"}', {
    default: '{}'
  }),
  CONSENT_IN_DYNAMIC_MODE: flag('Whether people are also asked for consent in dynamic mode', true),
  CONSENT_DELAY_MS: Type.Optional(Type.Integer({
    description: 'Milliseconds before which "Allow access" on the consent page does not count, because nobody reads ' +
      `that fast. Default: ${CONSENT_DELAY_MS}, and 0 if PUBLIC_URL is loopback`,
    minimum: 0,
    maximum: MAX_CONSENT_DELAY_MS
  })),
  REDIRECT_SCHEMES: list('Private-use URI schemes that redirect URIs may have', defaultRedirectSchemes),
  CLIENT_METADATA_DOCUMENTS: choice(
    'Whether clients may identify themselves by the URL of a metadata document, which this service then fetches from ' +
      'the internet; off, if it has no way there: clients then register instead',
    'on',
    ['on', 'off']
  ),
  PREREGISTERED_CLIENTS: text(
    'Clients that need no registration, as JSON: ' +
      '[{"clientId":"…","clientSecret":"…","clientName":"…","redirectUris":["…"]}]; ' +
      'only confidential clients have a secret, or sign with the key of their jwksUri or jwks',
    { default: '[]' }
  ),
  INTROSPECTION_SERVICES: list('Your services that may call /introspect, as name:secret'),
  OAUTH_REQUESTS_PER_MINUTE: limit(
    'Requests to one OAuth endpoint in a minute, for each address that proves nothing and for each person; a client ' +
      'that has shown its secret may make ten times as many',
    DEFAULT_REQUESTS_PER_MINUTE
  ),
  UNUSED_CLIENT_TTL_SECONDS: seconds(
    'Lifetime of a registration that nobody logs in with',
    defaultLifetimes.unusedClientSeconds
  ),
  CLIENT_TTL_SECONDS: seconds(
    'Lifetime of a registration after its client last received tokens ' +
      '(never shorter than REFRESH_TOKEN_TTL_SECONDS and a week)',
    defaultLifetimes.clientSeconds
  ),
  ACCESS_TOKEN_TTL_SECONDS: seconds('Lifetime of our access tokens', defaultLifetimes.accessTokenSeconds),
  REFRESH_TOKEN_TTL_SECONDS: seconds(
    'Lifetime of an unused refresh token',
    defaultLifetimes.refreshTokenSeconds
  ),
  REFRESH_TOKEN_REUSE_SECONDS: seconds(
    'Time in which a rotated refresh token may be presented again and gets the same tokens, ' +
      'because clients refresh in parallel; later, it ends the login',
    defaultLifetimes.refreshTokenReuseSeconds
  ),
  GRANT_TTL_SECONDS: seconds('Lifetime of a login, however often it is refreshed', defaultLifetimes.grantSeconds)
}
