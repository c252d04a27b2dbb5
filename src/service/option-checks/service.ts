import { Type, type TSchema } from '@sinclair/typebox'
import type { VerifyAccessToken } from '../../caller.js'
import type { BrokerModeOptions, HostAuthModeOptions, McpDiscoveryOptions, ResourceServerModeOptions } from '../plugin-options.js'
import { Keyring } from '../../oauth/keyring.js'
import { SIGNATURE_ALGORITHMS, type ResourceServerOptions } from '../../oauth/resource-server/resource-server.js'
import {
  clientId, clientSecret, count, flag, functionOf, listOf, objectOf, oneOf, optional, optionsOf, pluginObject, scopes, secureUrlText, someText, textThat
} from '../../validation/schemas.js'
import { brokerOptions, fetchFunction, upstreamObserver } from './broker.js'
import { brokerStores, sessionStores, sessionStoresOption, storesOption } from './stores.js'
import { mcpTransportsOptions } from './transports.js'

const MAX_CLOCK_TOLERANCE_SECONDS = 600

const { sessions, eventLog, leases, bus, getUpstreamAccessToken, ...transports } = mcpTransportsOptions

type Introspection = NonNullable<ResourceServerOptions['introspection']>
type Auth<T extends { auth?: unknown }> = NonNullable<T['auth']>

const brokerAuth = optionsOf<Auth<BrokerModeOptions>>()({ mode: oneOf('broker') })
const resourceServerAuth = optionsOf<Auth<ResourceServerModeOptions>>()({
  mode: oneOf('resource-server'),
  issuer: secureUrlText,
  audiences: optional(listOf(someText, 'a list of texts, each once')),
  algorithms: optional(listOf(oneOf(...SIGNATURE_ALGORITHMS), 'a list of one or more algorithms, each once', { minItems: 1 })),
  clockToleranceSeconds: optional(Type.Number({ minimum: 0, maximum: MAX_CLOCK_TOLERANCE_SECONDS, takes: `a number of seconds from 0 to ${MAX_CLOCK_TOLERANCE_SECONDS}` })),
  strictTokenType: optional(flag),
  requestsPerMinute: optional(count),
  introspection: optional(objectOf(optionsOf<Introspection>()({ clientId, clientSecret }), 'an object with clientId and clientSecret')),
  fetch: optional(fetchFunction),
  upstreamObserver: optional(upstreamObserver)
})
const hostAuth = optionsOf<Auth<HostAuthModeOptions>>()({
  mode: oneOf('host'),
  verifyAccessToken: functionOf<VerifyAccessToken>('a function: token => caller'),
  authorizationServers: listOf(secureUrlText, 'a list of one or more issuers, each once', { minItems: 1 })
})

const authOption = <P extends Record<string, TSchema>>(properties: P) => objectOf(properties, 'an object with mode')
const encryptionKeys = textThat({ takes: 'id:base64url of 32 bytes, comma-separated, each id once', secret: true }, value => Keyring.canParse(value))

const common = { ...transports, scopes: optional(scopes), encryptionKeys: optional(encryptionKeys) }

/** The options of `mcpService`, by the mode of `auth`. */
export const mcpServiceOptions = {
  broker: optionsOf<BrokerModeOptions>()({
    ...common, ...brokerOptions, auth: optional(authOption(brokerAuth)), stores: storesOption
  }),
  'resource-server': optionsOf<ResourceServerModeOptions>()({ ...common, auth: authOption(resourceServerAuth), stores: sessionStoresOption }),
  host: optionsOf<HostAuthModeOptions>()({ ...common, auth: authOption(hostAuth), stores: sessionStoresOption })
}

/** What `auth` is, before its mode is known. */
export const authMode = Type.Object({ auth: optional(Type.Object({ mode: oneOf('broker', 'resource-server', 'host') }, { takes: 'an object with mode' })) })

/** The options of `mcpDiscovery`, but for `auth`. */
export const mcpDiscoveryOptions = optionsOf<Omit<McpDiscoveryOptions, 'auth'>>()({
  servicePrefix: textThat({ takes: 'the prefix of the service, such as /ai' }, value => /^(\/[^/:*?#\s]+)+\/?$/.test(value)),
  forOrigin: optional(flag),
  publicUrl: common.publicUrl,
  scopes: common.scopes,
  sessionMode: common.sessionMode
})

const names = [
  'check', 'close', 'keyring', 'resourcePaths', 'servicePrefix', 'forOrigin',
  ...Object.keys({ ...mcpTransportsOptions, ...mcpServiceOptions.broker, ...brokerStores, ...sessionStores })
]

/**
 * The options of one plugin. Those of the others may be there too, for whoever keeps them all in one object; a name that none
 * of them knows may not.
 */
export function pluginOptions (own: Record<string, TSchema>): TSchema {
  return pluginObject(own, names)
}
