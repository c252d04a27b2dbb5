/** What says where an upstream is, and who we are there; by the names of the options. */
interface Given {
  issuerUrl?: unknown
  internalUrl?: unknown
  authorizationUrl?: unknown
  tokenUrl?: unknown
  registrationUrl?: unknown
  clientId?: unknown
  clientSecret?: unknown
}

/**
 * What is missing for an upstream to be of use, in one line.
 * @param nameOf an option's name in the configuration
 */
export function findUpstreamFault (given: Given, nameOf: (option: keyof Given) => string): string | undefined {
  const has = (option: keyof Given) => given[option] !== undefined
  // with an issuer, either goes before what is discovered
  if (!has('issuerUrl') && has('authorizationUrl') !== has('tokenUrl')) {
    return `${nameOf(has('tokenUrl') ? 'authorizationUrl' : 'tokenUrl')} is not set; the two endpoint URLs go together.`
  }
  if (has('clientSecret') && !has('clientId')) {
    return `${nameOf('clientId')} is not set, but ${nameOf('clientSecret')} is; the secret needs its client id.`
  }
  if (has('issuerUrl')) return undefined
  if (has('internalUrl')) {
    return `${nameOf('issuerUrl')} is not set, but ${nameOf('internalUrl')} is; it takes the issuer of the upstream, ` +
      'as browsers reach it.'
  }
  if (!has('authorizationUrl')) {
    return `${nameOf('issuerUrl')} is not set; it takes the issuer of the upstream, or set ${
      nameOf('authorizationUrl')
    } and ${nameOf('tokenUrl')}.`
  }
  if (!has('registrationUrl') && !has('clientId')) {
    return `${nameOf('clientId')} is not set; an upstream without discovery needs it, or ${nameOf('registrationUrl')}.`
  }
  return undefined
}
