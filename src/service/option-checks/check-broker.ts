import { ConfigError, InvalidClientMetadataError, ServiceError } from '../../errors.js'
import { isLoopbackUrl } from '../../loopback.js'
import { checkClientMetadata } from '../../oauth/clients/client-metadata.js'
import type { PreregisteredClient } from '../../oauth/client.js'
import type { OAuthBrokerOptions } from '../plugin-options.js'
import { defaultRedirectSchemes } from '../../oauth/clients/redirect-schemes.js'
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
  { upstream, clients = [], redirectSchemes, allowLoopbackClients, publicUrl }: Checked
): void {
  const fault = findUpstreamFault(upstream, option => `upstream.${option}`)
  if (fault !== undefined) throw new ConfigError(`${subject}: ${fault}`)
  checkClients(`${subject}: clients`, clients, redirectSchemes)
  if (allowLoopbackClients === true && !isLoopbackUrl(publicUrl)) {
    throw new ConfigError(
      `${subject}: allowLoopbackClients is true; it takes true only if publicUrl is on loopback, because otherwise ` +
        'strangers could reach this machine\'s own ports.'
    )
  }
}

/**
 * Checks clients that need no registration, as those that register are checked.
 * @param name the name of the list in the configuration
 * @throws {ConfigError} with one line that names the client
 */
export function checkClients (
  name: string,
  clients: readonly PreregisteredClient[],
  schemes: readonly string[] = defaultRedirectSchemes
): void {
  const ids = new Set<string>()
  for (const [index, { clientId, clientName, redirectUris }] of clients.entries()) {
    if (ids.has(clientId)) {
      throw new ConfigError(`${name}[${index}].clientId is ${JSON.stringify(clientId)}; another client already has it.`)
    }
    ids.add(clientId)
    try {
      const { dropped } = checkClientMetadata({ redirect_uris: redirectUris, client_name: clientName }, schemes)
      if (dropped[0] !== undefined) throw new InvalidClientMetadataError(dropped[0])
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      throw new ConfigError(`${name}[${index}] is not valid: ${error.message}`, { cause: error })
    }
  }
}
