import { decodeJwt } from 'jose'
import { createTokenVerifier, type ResourceServerOptions } from '../oauth/resource-server/resource-server.js'
import { canonicalResource } from '../oauth/resources.js'
import type { Findings } from './findings.js'
import { toReason } from './http-probe.js'

/** Verifies a token of the upstream as the service does in the mode resource-server. */
export async function examineAudience (
  accessToken: string,
  options: ResourceServerOptions,
  findings: Findings
): Promise<void> {
  try {
    await createTokenVerifier(options)(accessToken)
    findings.ok('upstream-audience', 'the service takes the token')
  } catch (error) {
    const audience = readAudience(accessToken)
    const ours = new Set(options.audiences.map(canonicalResource))
    if (audience.length > 0 && !audience.some(name => ours.has(canonicalResource(name)))) {
      findings.fail(
        'upstream-audience',
        `the token is for ${audience.join(', ')}, and this service is ${options.audiences.join(', ')}`,
        'Let the upstream issue tokens for PUBLIC_URL/mcp, or name what it issues in OAUTH_AUDIENCES.'
      )
    } else {
      findings.fail(
        'upstream-audience',
        `the service refuses the token: ${toReason(error)}`,
        'Ask the upstream for a token for PUBLIC_URL/mcp.'
      )
    }
  }
}

/** The audience of a token; empty if it is not a JWT. */
export function readAudience (accessToken: string): string[] {
  try {
    return [decodeJwt(accessToken).aud ?? []].flat()
  } catch {
    return []
  }
}
