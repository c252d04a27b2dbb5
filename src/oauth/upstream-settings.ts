import { BackChannel } from '../outbound/back-channel.js'
import type { UpstreamOptions } from './options.js'
import { withPreset } from './providers/providers.js'
import { OPENID_SCOPES } from './scopes.js'

const urlNames = [
  'issuerUrl',
  'internalUrl',
  'authorizationUrl',
  'tokenUrl',
  'registrationUrl',
  'revocationUrl',
  'userinfoUrl'
] as const

/** `UpstreamOptions` whose URLs have been parsed. */
export interface UpstreamSettings
  extends Omit<UpstreamOptions, typeof urlNames[number] | 'scopes'>, Partial<Record<typeof urlNames[number], URL>> {
  scopes: readonly string[]
}

/** The options of the upstream with what its preset adds, and with parsed URLs. They have been checked. */
export function toUpstreamSettings (given: UpstreamOptions): UpstreamSettings {
  const options = withPreset(given)
  const {
    issuerUrl,
    internalUrl,
    authorizationUrl,
    tokenUrl,
    registrationUrl,
    revocationUrl,
    userinfoUrl,
    scopes = OPENID_SCOPES,
    ...others
  } = options
  const urls: Partial<Record<typeof urlNames[number], URL>> = {}
  for (const name of urlNames) {
    const url = options[name]
    if (url !== undefined) urls[name] = new URL(url)
  }
  return { ...others, scopes, ...urls }
}

/** The way to the upstream. Requests to endpoints that were named go to them as they are written. */
export function makeBackChannel (
  { issuerUrl, internalUrl, tokenUrl, registrationUrl, revocationUrl, userinfoUrl }: UpstreamSettings
): BackChannel {
  return new BackChannel({ issuerUrl, internalUrl, asWritten: [tokenUrl, registrationUrl, revocationUrl, userinfoUrl] })
}
