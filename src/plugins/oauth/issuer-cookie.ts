import type { SerializeOptions } from 'cookie'
import { hashSecret } from '../../oauth/secrets.js'

/** The name and attributes of a cookie. */
export interface OwnCookie {
  name: string
  attributes: SerializeOptions
}

/**
 * A cookie of our pages. `SameSite=Lax`: it must come with the redirect from the upstream. `__Host-` with https: no
 * subdomain can set it, but its path is `/`, so its name distinguishes two services of one origin.
 */
export function issuerCookie (issuer: string, what: string): OwnCookie {
  const { protocol, pathname } = new URL(issuer)
  const secure = protocol === 'https:'
  return {
    name: `${secure ? '__Host-' : ''}mcp-${what}${pathname === '/' ? '' : `-${hashSecret(pathname).slice(0, 8)}`}`,
    attributes: { path: '/', httpOnly: true, secure, sameSite: 'lax' }
  }
}
