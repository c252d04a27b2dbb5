import { Type, type TSchema } from '@sinclair/typebox'
import type { AuditedArgument } from '../../audit/arguments.js'
import type { AuditOptions } from '../../audit/auditor.js'
import type { VerifyAccessToken } from '../../caller.js'
import type {
  BrokerModeOptions,
  HostAuthModeOptions,
  HostedServerOptions,
  HostedServersOption,
  McpDiscoveryOptions,
  ResourceServerModeOptions
} from '../plugin-options.js'
import type { CreateServer } from '../../mcp/create-server.js'
import { isObject } from '../../members.js'
import { Keyring } from '../../oauth/keyring.js'
import { SIGNATURE_ALGORITHMS, type ResourceServerOptions } from '../../oauth/resource-server/resource-server.js'
import type { Policy } from '../../policy/policy.js'
import type { PolicyRules } from '../../policy/rules.js'
import {
  checked,
  clientId,
  clientSecret,
  count,
  flag,
  functionSchema,
  internalUrl,
  listSchema,
  objectSchema,
  choiceSchema,
  optional,
  optionSchemas,
  pluginObject,
  scopes,
  secureUrlText,
  someText,
  textThat
} from '../../validation/schemas.js'
import { allowedTenants, brokerOptions, fetchFunction, upstreamObserver } from './broker.js'
import { brokerStores, sessionStores, sessionStoresOption, storesOption } from './stores.js'
import { mcpTransportsOptions } from './transports.js'

const MAX_CLOCK_TOLERANCE_SECONDS = 600

const {
  sessions,
  eventLog,
  leases,
  bus,
  callLimits,
  tasks,
  getUpstreamAccessToken,
  findEndedGrants,
  policy: _,
  createServer,
  ...transports
} = mcpTransportsOptions

type Introspection = NonNullable<ResourceServerOptions['introspection']>
type Auth<T extends { auth?: unknown }> = NonNullable<T['auth']>

const brokerAuth = optionSchemas<Auth<BrokerModeOptions>>()({ mode: choiceSchema('broker') })
const resourceServerAuth = optionSchemas<Auth<ResourceServerModeOptions>>()({
  mode: choiceSchema('resource-server'),
  issuer: secureUrlText,
  internalUrl: optional(internalUrl),
  audiences: optional(listSchema(someText, 'a list of texts, each once')),
  algorithms: optional(
    listSchema(choiceSchema(...SIGNATURE_ALGORITHMS), 'a list of one or more algorithms, each once', { minItems: 1 })
  ),
  clockToleranceSeconds: optional(
    Type.Number({
      minimum: 0,
      maximum: MAX_CLOCK_TOLERANCE_SECONDS,
      takes: `a number of seconds from 0 to ${MAX_CLOCK_TOLERANCE_SECONDS}`
    })
  ),
  strictTokenType: optional(flag),
  clientsWithoutAudience: optional(listSchema(clientId, 'a list of client ids, each once')),
  allowedTenants: optional(allowedTenants),
  requestsPerMinute: optional(count),
  introspection: optional(
    objectSchema(optionSchemas<Introspection>()({ clientId, clientSecret }), 'an object with clientId and clientSecret')
  ),
  fetch: optional(fetchFunction),
  upstreamObserver: optional(upstreamObserver)
})
const hostAuth = optionSchemas<Auth<HostAuthModeOptions>>()({
  mode: choiceSchema('host'),
  verifyAccessToken: functionSchema<VerifyAccessToken>('a function: token => caller'),
  authorizationServers: listSchema(secureUrlText, 'a list of one or more issuers, each once', { minItems: 1 })
})

const authOption = <P extends Record<string, TSchema>>(properties: P) => objectSchema(properties, 'an object with mode')
const encryptionKeys = textThat(
  { takes: 'id:base64url of 32 bytes, comma-separated, each id once', secret: true },
  value => Keyring.canParse(value)
)

const policy = checked<PolicyRules | Policy>({ takes: 'a Policy, or an object of rules' }, isObject)

const auditTarget = checked<AuditOptions['sink']>({ takes: 'a sink, or a function: event => void' }, value =>
  typeof value === 'function' || (isObject(value) && typeof value.write === 'function'))
const audit = objectSchema(
  optionSchemas<AuditOptions>()({
    sink: auditTarget,
    required: optional(flag),
    arguments: optional(
      listSchema(
        objectSchema(
          optionSchemas<AuditedArgument>()({ tool: someText, argument: someText, as: choiceSchema('value', 'hash') }),
          'an object with tool, argument and as'
        ),
        'a list of arguments, each once'
      )
    ),
    maxQueuedBytes: optional(count),
    onEvents: optional(functionSchema<NonNullable<AuditOptions['onEvents']>>('a function: (outcome, count) => void'))
  }),
  'an object with sink'
)

const servers = Type.Unsafe<HostedServersOption>(
  Type.Record(
    Type.String(),
    objectSchema(
      optionSchemas<HostedServerOptions>()({
        createServer,
        title: optional(someText),
        path: optional(someText),
        scopes: optional(scopes),
        policy: optional(policy),
        reuseInstances: transports.reuseInstances,
        maySubscribe: transports.maySubscribe,
        limits: transports.limits
      }),
      'a server: an object with createServer'
    ),
    { takes: 'an object of servers, by their names' }
  )
)

/** One server or several: that only one of them is there is checked besides. */
type Checked<T> =
  & Omit<T, 'createServer' | 'servers'>
  & { createServer?: CreateServer, servers?: HostedServersOption }

const common = {
  audit: optional(audit),
  ...transports,
  createServer: optional(createServer),
  servers: optional(servers),
  policy: optional(policy),
  scopes: optional(scopes),
  encryptionKeys: optional(encryptionKeys)
}

/** The options of `mcpService`, by the mode of `auth`. */
export const mcpServiceOptions = {
  broker: optionSchemas<Checked<BrokerModeOptions>>()({
    ...common,
    ...brokerOptions,
    auth: optional(authOption(brokerAuth)),
    stores: storesOption
  }),
  'resource-server': optionSchemas<Checked<ResourceServerModeOptions>>()({
    ...common,
    auth: authOption(resourceServerAuth),
    stores: sessionStoresOption
  }),
  host: optionSchemas<Checked<HostAuthModeOptions>>()({
    ...common,
    auth: authOption(hostAuth),
    stores: sessionStoresOption
  })
}

/** What `auth` is, before its mode is known. */
export const authMode = Type.Object({
  auth: optional(
    Type.Object({ mode: choiceSchema('broker', 'resource-server', 'host') }, { takes: 'an object with mode' })
  )
})

/** The options of `mcpDiscovery`, but for `auth`. */
export const mcpDiscoveryOptions = optionSchemas<Omit<McpDiscoveryOptions, 'auth'>>()({
  servicePrefix: textThat(
    { takes: 'the prefix of the service, such as /ai' },
    value => /^(\/[^/:*?#\s]+)+\/?$/.test(value)
  ),
  clientMetadataDocuments: optional(flag),
  forOrigin: optional(flag),
  publicUrl: common.publicUrl,
  scopes: common.scopes,
  policy: common.policy,
  sessionMode: common.sessionMode,
  servers: common.servers
})

const names = [
  'check', 'close', 'replicaKeys', 'keyring', 'resourcePaths', 'protectedServers', 'servicePrefix', 'forOrigin',
  ...Object.keys({ ...mcpTransportsOptions, ...mcpServiceOptions.broker, ...brokerStores, ...sessionStores })
]

/**
 * The options of one plugin. Those of the others may be there, too, if an app keeps them all in one object; a name that
 * none of them knows may not.
 */
export function pluginOptions (own: Record<string, TSchema>): TSchema {
  return pluginObject(own, names)
}
