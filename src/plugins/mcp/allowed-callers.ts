import { isLoopbackHostHeader, isLoopbackOrigin, isLoopbackUrl } from '../../loopback.js'
import {
  canonicalAuthority,
  canonicalOrigin,
  matchesOrigin,
  parseOriginPattern,
  type OriginPattern
} from '../../validation/authorities.js'

type Check = (header: string) => boolean

/**
 * Which `Origin` headers may call, in any spelling: that of the public URL, those in the list, those that a pattern of
 * the list covers. If the public URL is loopback, so may any loopback origin.
 */
export function originCheck (publicUrl: string, allowed: readonly string[]): Check {
  const local = isLoopbackUrl(publicUrl)
  const origins = new Set<string | undefined>()
  const patterns: OriginPattern[] = []
  for (const text of [new URL(publicUrl).origin, ...allowed]) {
    const pattern = parseOriginPattern(text)
    if (pattern === undefined) origins.add(text === '*' ? text : canonicalOrigin(text))
    else patterns.push(pattern)
  }
  return header => {
    // browsers send the canonical spelling
    if (origins.has('*') || origins.has(header)) return true
    const origin = canonicalOrigin(header)
    return origin !== undefined && (
      origins.has(origin) || patterns.some(pattern => matchesOrigin(pattern, origin)) ||
      (local && isLoopbackOrigin(origin))
    )
  }
}

/** Which `Host` headers are answered, in any spelling; as with origins. */
export function hostCheck (publicUrl: string, allowed: readonly string[]): Check {
  const { protocol, host: own } = new URL(publicUrl)
  const local = isLoopbackUrl(publicUrl)
  const hosts = new Set<string | undefined>(
    [own, ...allowed].map(text => text === '*' ? text : canonicalAuthority(text, protocol))
  )
  return header => {
    if (hosts.has('*') || hosts.has(header)) return true
    const host = canonicalAuthority(header, protocol)
    return host !== undefined && (hosts.has(host) || (local && isLoopbackHostHeader(host)))
  }
}
