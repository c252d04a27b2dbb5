import type { BrokerObserver } from '../../oauth/login-events.js'
import { Keyring } from '../../oauth/keyring.js'
import type { UpstreamObserver } from '../../oauth/upstream-observer.js'
import {
  MAX_CONSENT_DELAY_MS,
  type AuthorizeGrant,
  type BrokerLifetimes,
  type UpstreamOptions
} from '../../oauth/options.js'
import { proxyOption } from '../../validation/proxy.js'
import type { PreregisteredClient } from '../../oauth/client.js'
import type { ProtectedServer } from '../../oauth/resources.js'
import type { OAuthBrokerOptions } from '../plugin-options.js'
import { Type } from '@sinclair/typebox'
import { isRedirectScheme } from '../../oauth/clients/redirect-schemes.js'
import {
  anyText,
  checked,
  clientId,
  clientSecret,
  count,
  flag,
  functionSchema,
  instanceSchema,
  internalUrl,
  lifetime,
  listSchema,
  objectSchema,
  optional,
  optionSchemas,
  recordSchema,
  scope,
  scopes,
  secureUrl,
  someText,
  textThat,
  timerSeconds
} from '../../validation/schemas.js'
import {
  ADMIN_TOKEN,
  isAdminToken,
  isServiceSecret,
  SERVICE_SECRET
} from '../../validation/values.js'
import { PROVIDER_NAMES, type ProviderName } from '../../oauth/providers/providers.js'
import { CLIENT_AUTH_METHODS } from '../../oauth/upstream/client-authentication.js'
import { isTenant, TENANT } from '../../oauth/upstream/tenants.js'
import { brokerStoresOption } from './stores.js'
import { policyOption, publicUrl } from './transports.js'

export const fetchFunction = functionSchema<typeof fetch>('a function like the global fetch')
export const upstreamObserver = instanceSchema<UpstreamObserver>('an observer', { upstreamRequest: true })

export const allowedTenants = listSchema(textThat({ takes: TENANT }, isTenant), 'a list of ids of tenants, each once')

const upstream = optionSchemas<UpstreamOptions>()({
  provider: optional(
    Type.Unsafe<ProviderName>(
      Type.Union(PROVIDER_NAMES.map(name => Type.Literal(name)), { takes: PROVIDER_NAMES.join(', ') })
    )
  ),
  issuerUrl: optional(secureUrl),
  internalUrl: optional(internalUrl),
  authorizationUrl: optional(secureUrl),
  tokenUrl: optional(secureUrl),
  registrationUrl: optional(secureUrl),
  revocationUrl: optional(secureUrl),
  userinfoUrl: optional(secureUrl),
  subjectClaim: optional(someText),
  groupsClaim: optional(someText),
  clientId: optional(clientId),
  clientSecret: optional(clientSecret),
  clientAuthMethod: optional(
    Type.Unsafe<typeof CLIENT_AUTH_METHODS[number] | 'auto'>(
      Type.Union([...CLIENT_AUTH_METHODS, 'auto'].map(method => Type.Literal(method)), {
        takes: [...CLIENT_AUTH_METHODS, 'auto'].join(', ')
      })
    )
  ),
  clientKey: optional(someText),
  allowMissingNonce: optional(flag),
  pkce: optional(flag),
  allowedTenants: optional(allowedTenants),
  scopes: optional(listSchema(scope, 'a list of scopes, each once')),
  registrationGeneration: optional(anyText),
  extraAuthorizeParams: optional(recordSchema(anyText, 'an object of texts')),
  timeoutSeconds: optional(timerSeconds),
  fetch: optional(fetchFunction)
})

const client = optionSchemas<PreregisteredClient>()({
  clientId,
  clientSecret: optional(clientSecret),
  clientName: optional(someText),
  jwks: optional(
    Type.Unsafe<NonNullable<PreregisteredClient['jwks']>>(
      Type.Object({ keys: Type.Array(Type.Object({})) }, { takes: 'a JSON Web Key Set: an object with keys' })
    )
  ),
  jwksUri: optional(someText),
  redirectUris: listSchema(someText, 'a list of one or more redirect URIs, each once', { minItems: 1 }),
  trusted: optional(flag)
})

const lifetimes = optionSchemas<Partial<BrokerLifetimes>>()({
  accessTokenSeconds: optional(lifetime),
  refreshTokenSeconds: optional(lifetime),
  grantSeconds: optional(lifetime),
  authorizationCodeSeconds: optional(lifetime),
  authorizationSeconds: optional(lifetime),
  unusedClientSeconds: optional(lifetime),
  clientSeconds: optional(lifetime),
  refreshTokenReuseSeconds: optional(lifetime),
  consentSeconds: optional(lifetime)
})

/** The options that `oauthBroker` and `mcpService` have in common. */
export const brokerOptions = {
  upstream: objectSchema(upstream, 'an object that names the upstream authorization server'),
  scopeDescriptions: optional(recordSchema(anyText, 'an object of texts: scope -> meaning')),
  consentInDynamicMode: optional(flag),
  consentDelayMs: optional(
    Type.Integer({
      minimum: 0,
      maximum: MAX_CONSENT_DELAY_MS,
      takes: `a whole number of milliseconds from 0 to ${MAX_CONSENT_DELAY_MS}`
    })
  ),
  redirectSchemes: optional(
    listSchema(
      textThat(
        { takes: 'a private-use URI scheme such as cursor, in lower case and without the colon' },
        isRedirectScheme
      ),
      'a list of URI schemes, each once'
    )
  ),
  clients: optional(
    Type.Unsafe<readonly PreregisteredClient[]>(
      Type.Array(objectSchema(client, 'a client: an object with clientId and redirectUris'), {
        takes: 'a list of clients'
      })
    )
  ),
  initialAccessTokens: optional(
    Type.Unsafe<readonly string[]>(
      Type.Array(textThat({ takes: ADMIN_TOKEN, secret: true }, isAdminToken), { takes: 'a list of tokens' })
    )
  ),
  clientMetadataDocuments: optional(flag),
  proxy: optional(proxyOption),
  allowLoopbackClients: optional(flag),
  authorizeGrant: optional(functionSchema<AuthorizeGrant>('a function: attempt => decision')),
  upstreamObserver: optional(upstreamObserver),
  observers: optional(
    listSchema(
      functionSchema<BrokerObserver>('a function that takes events'),
      'a list of functions that take events',
      { uniqueItems: false }
    )
  ),
  lifetimes: optional(objectSchema(lifetimes, 'an object of lifetimes')),
  introspectionServices: optional(
    recordSchema(
      textThat({ takes: SERVICE_SECRET, secret: true }, isServiceSecret),
      'an object of secrets: name of a service -> its secret'
    )
  ),
  requestsPerMinute: optional(count),
  adminToken: optional(textThat({ takes: ADMIN_TOKEN, secret: true }, isAdminToken))
}

const PATH = /^(\/[\w.~-]+)+$/
const resourcePaths = checked<readonly [string, ...string[]]>(
  { takes: 'a list of one or more paths such as /mcp' },
  value => Array.isArray(value) && value.length > 0 && value.every(path => typeof path === 'string' && PATH.test(path))
)

/** The options of `oauthBroker`. */
export const oauthBrokerOptions = optionSchemas<OAuthBrokerOptions>()({
  ...brokerOptions,
  policy: optional(policyOption),
  publicUrl,
  stores: brokerStoresOption,
  keyring: checked<Keyring>({ takes: 'a Keyring', secret: true }, value => value instanceof Keyring),
  resourcePaths: optional(resourcePaths),
  scopes: optional(scopes),
  protectedServers: optional(
    listSchema(
      objectSchema(
        optionSchemas<ProtectedServer>()({
          title: optional(someText),
          paths: resourcePaths,
          scopes,
          policy: optional(policyOption)
        }),
        'a server: an object with paths and scopes'
      ),
      'a list of one or more servers',
      { minItems: 1, uniqueItems: false }
    )
  )
})
