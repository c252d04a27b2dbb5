import type {
  BrokeredOptions,
  McpDiscoveryOptions,
  McpServiceOptions,
  OAuthBrokerOptions
} from '../plugin-options.js'
import type { McpTransportsOptions } from '../../mcp/options.js'
import { checkOptions } from '../../validation/check.js'
import { checkPolicyRules } from '../../policy/check-rules.js'
import { Policy } from '../../policy/policy.js'
import { oauthBrokerOptions } from './broker.js'
import { checkBrokerTogether, checkTenants } from './check-broker.js'
import { authMode, mcpDiscoveryOptions, mcpServiceOptions, pluginOptions } from './service.js'
import { mcpTransportsOptions } from './transports.js'

const service = {
  broker: pluginOptions(mcpServiceOptions.broker),
  'resource-server': pluginOptions(mcpServiceOptions['resource-server']),
  host: pluginOptions(mcpServiceOptions.host)
}
const broker = pluginOptions(oauthBrokerOptions)
const transports = pluginOptions(mcpTransportsOptions)
const discovery = {
  broker: pluginOptions({ ...mcpDiscoveryOptions, auth: mcpServiceOptions.broker.auth }),
  'resource-server': pluginOptions({ ...mcpDiscoveryOptions, auth: mcpServiceOptions['resource-server'].auth }),
  host: pluginOptions({ ...mcpDiscoveryOptions, auth: mcpServiceOptions.host.auth })
}

/*
 * Each checks the options of one plugin when it is registered.
 * They throw a ConfigError with one line that names the option, what it got and what it takes.
 */
export function checkServiceOptions (options: McpServiceOptions): void {
  checkOptions('mcpService', authMode, options)
  checkOptions('mcpService', service[options.auth?.mode ?? 'broker'], options)
  checkPolicy('mcpService', options)
  if (isBroker(options)) checkBrokerTogether('mcpService', options)
  else if (options.auth.mode === 'resource-server') {
    const { issuer: issuerUrl, allowedTenants } = options.auth
    checkTenants('mcpService', { issuerUrl, ...allowedTenants && { allowedTenants } }, option =>
      `auth.${option === 'issuerUrl' ? 'issuer' : option}`)
  }
}

export function checkDiscoveryOptions (options: McpDiscoveryOptions): void {
  checkOptions('mcpDiscovery', authMode, options)
  checkOptions('mcpDiscovery', discovery[options.auth?.mode ?? 'broker'], options)
  checkPolicy('mcpDiscovery', options)
}

function checkPolicy (subject: string, { policy }: Pick<McpServiceOptions, 'policy'>): void {
  if (policy !== undefined && !(policy instanceof Policy)) checkPolicyRules(subject, policy, 'policy')
}

export function checkOAuthBrokerOptions (options: OAuthBrokerOptions): void {
  checkOptions('oauthBroker', broker, options)
  checkBrokerTogether('oauthBroker', options)
}

export function checkTransportsOptions (options: McpTransportsOptions): void {
  checkOptions('mcpTransports', transports, options)
}

function isBroker (options: McpServiceOptions): options is BrokeredOptions {
  return options.auth === undefined || options.auth.mode === 'broker'
}
