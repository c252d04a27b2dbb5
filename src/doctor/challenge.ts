import { advise } from './advice.js'
import { toMessage, send, type Reply } from './http-probe.js'
import { examineClock } from './clock.js'
import type { Findings } from './findings.js'
import { isLoopbackHost } from '../loopback.js'
import { REVISION_2025_11_25 } from '../mcp/wire/protocol-versions.js'

/** `initialize`, as a client of revision 2025-11-25 sends it. */
export const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: REVISION_2025_11_25, capabilities: {}, clientInfo: { name: 'doctor', version: '1.0.0' } }
} as const

/** What no service lets anybody do without a token, also where something is public. */
const PROTECTED = { jsonrpc: '2.0', id: 2, method: 'doctor/challenge' } as const

export const ACCEPT_BOTH = { accept: 'application/json, text/event-stream' } as const

/**
 * Calls the MCP endpoint without a token, as clients begin.
 * @returns where the challenge says that the protected resource metadata is (RFC 9728 5.1)
 */
export async function examineChallenge (mcpUrl: URL, findings: Findings): Promise<URL | undefined> {
  const reply = await send(mcpUrl, { method: 'POST', headers: ACCEPT_BOTH, body: INITIALIZE }).catch(
    (error: unknown) => {
      findings.fail(
        'reachable',
        `${mcpUrl.href} cannot be reached: ${toMessage(error)}`,
        'Look at the name, the port, the certificate, and whether the proxy has the service behind it.'
      )
    }
  )
  if (reply === undefined) return undefined
  examineClock(findings, 'clock', 'the service', reply.headers)
  if (mcpUrl.protocol === 'http:' && !isLoopbackHost(mcpUrl.hostname)) {
    findings.fail(
      'https',
      `clients come to ${mcpUrl.origin} without TLS`,
      'Put TLS in front, and set PUBLIC_URL to the https origin: most clients refuse anything else.'
    )
  }
  if (reply.status === 200) {
    findings.ok('public', 'a session begins without a token: something is public here')
    const sessionId = reply.headers['mcp-session-id']
    if (typeof sessionId === 'string') {
      await send(mcpUrl, { method: 'DELETE', headers: { 'mcp-session-id': sessionId } })
    }
    const refusal = await send(mcpUrl, { method: 'POST', headers: ACCEPT_BOTH, body: PROTECTED })
    return examineRefusal(mcpUrl, refusal, findings)
  }
  return examineRefusal(mcpUrl, reply, findings)
}

/** @returns where the challenge says that the protected resource metadata is */
function examineRefusal (mcpUrl: URL, reply: Reply, findings: Findings): URL | undefined {
  if (reply.status !== 401) {
    findings.fail(
      'challenge',
      `a call without a token was answered ${reply.status} instead of 401`,
      ADVICE[reply.status] ??
        advise(reply.status, 'Whatever answers there is not this service, or something in front of it answers first.')
    )
    return undefined
  }
  const metadataUrl = /resource_metadata="([^"]+)"/.exec(String(reply.headers['www-authenticate']))?.[1]
  if (metadataUrl === undefined || !URL.canParse(metadataUrl)) {
    findings.fail(
      'challenge',
      'the 401 names no resource_metadata in WWW-Authenticate',
      'Let the proxy pass the header WWW-Authenticate on; clients find the login by it.'
    )
    return undefined
  }
  findings.ok('challenge', `401, with the metadata at ${metadataUrl}`)
  comparePublicUrl(new URL(metadataUrl), mcpUrl, findings)
  return new URL(metadataUrl)
}

const ADVICE: Readonly<Record<number, string>> = {
  404: 'Give the URL of the MCP endpoint: it ends in /mcp.'
}

function comparePublicUrl (metadataUrl: URL, mcpUrl: URL, findings: Findings): void {
  const fix = `Set PUBLIC_URL=${mcpUrl.origin}`
  if (metadataUrl.origin === mcpUrl.origin) {
    findings.ok('public-url', `the service calls itself ${mcpUrl.origin}, as clients do`)
  } else if (
    metadataUrl.hostname === mcpUrl.hostname && metadataUrl.protocol === 'http:' && mcpUrl.protocol === 'https:'
  ) {
    findings.fail(
      'https',
      `clients come by https, but the service calls itself ${metadataUrl.origin}: PUBLIC_URL is http behind TLS`,
      `${fix}.`
    )
  } else {
    findings.fail(
      'public-url',
      `the service calls itself ${metadataUrl.origin}, but clients come to ${mcpUrl.origin}`,
      `${fix}, or give clients the URL ${metadataUrl.origin}${mcpUrl.pathname}.`
    )
  }
}
