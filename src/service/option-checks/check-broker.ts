import { ConfigError, ServiceError } from '../../errors.js'
import { isLoopbackUrl } from '../../loopback.js'
import { checkPreregisteredClient } from '../../oauth/clients/preregistered-clients.js'
import type { PreregisteredClient } from '../../oauth/client.js'
import type { OAuthBrokerOptions } from '../plugin-options.js'
import { defaultRedirectSchemes } from '../../oauth/clients/redirect-schemes.js'
import { withPreset } from '../../oauth/providers/providers.js'
import { findTenantsFault } from '../../oauth/upstream/tenants.js'
import { findUpstreamFault } from '../../validation/upstream.js'

type Checked = Pick<
  OAuthBrokerOptions,
  'upstream' | 'clients' | 'redirectSchemes' | 'allowLoopbackClients' | 'publicUrl'
>

/**
 * What several options of the broker say together; each by itself has been checked.
 * @throws {ConfigError} with one line that names the option
 */
export function checkBrokerTogether (
  subject: string,
  { upstream: given, clients = [], redirectSchemes, allowLoopbackClients, publicUrl }: Checked
): void {
  const upstream = withPreset(given)
  const fault = findUpstreamFault(upstream, option => `upstream.${option}`)
  if (fault !== undefined) throw new ConfigError(`${subject}: ${fault}`)
  checkTenants(subject, upstream, option => `upstream.${option}`)
  checkClients(`${subject}: clients`, clients, redirectSchemes, allowLoopbackClients)
  if (allowLoopbackClients === true && !isLoopbackUrl(publicUrl)) {
    throw new ConfigError(
      `${subject}: allowLoopbackClients is true; it takes true only if publicUrl is on loopback, because otherwise ` +
        'strangers could reach this machine\'s own ports.'
    )
  }
}

/**
 * Checks who may come, where a login server is for many tenants.
 * @throws {ConfigError} with one line that names the option
 */
export function checkTenants (
  subject: string,
  given: Parameters<typeof findTenantsFault>[0],
  nameOf: Parameters<typeof findTenantsFault>[1]
): void {
  const fault = findTenantsFault(given, nameOf)
  if (fault !== undefined) throw new ConfigError(`${subject}: ${fault}`)
}

/**
 * Checks clients that need no registration, as those that register are checked.
 * @param name the name of the list in the configuration
 * @param allowLoopback whether their keys may be on this machine
 * @throws {ConfigError} with one line that names the client
 */
export function checkClients (
  name: string,
  clients: readonly PreregisteredClient[],
  schemes: readonly string[] = defaultRedirectSchemes,
  allowLoopback = false
): void {
  const ids = new Set<string>()
  for (const [index, client] of clients.entries()) {
    const { clientId } = client
    if (ids.has(clientId)) {
      throw new ConfigError(`${name}[${index}].clientId is ${JSON.stringify(clientId)}; another client already has it.`)
    }
    ids.add(clientId)
    try {
      checkPreregisteredClient(client, schemes, allowLoopback)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      throw new ConfigError(`${name}[${index}] is not valid: ${error.message}`, { cause: error })
    }
  }
}
