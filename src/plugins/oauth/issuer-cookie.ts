import type { SerializeOptions } from 'cookie'
import { hashSecret } from '../../oauth/secrets.js'

/** How a cookie of ours is named and kept. */
export interface OwnCookie {
  name: string
  attributes: SerializeOptions
}

/**
 * A cookie of our pages. `SameSite=Lax`: it must come with the redirect from the upstream. `__Host-` where there is https: no
 * subdomain can set it, but its path is `/`, so that its name tells two services of one origin apart.
 */
export function issuerCookie (issuer: string, what: string): OwnCookie {
  const { protocol, pathname } = new URL(issuer)
  const secure = protocol === 'https:'
  return {
    name: `${secure ? '__Host-' : ''}mcp-${what}${pathname === '/' ? '' : `-${hashSecret(pathname).slice(0, 8)}`}`,
    attributes: { path: '/', httpOnly: true, secure, sameSite: 'lax' }
  }
}
