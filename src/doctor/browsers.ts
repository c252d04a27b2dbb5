import { ACCEPT_BOTH, INITIALIZE } from './challenge.js'
import { advise } from './advice.js'
import { toMessage, send, type Reply } from './http-probe.js'
import type { Findings } from './findings.js'

const EXPOSED = ['mcp-session-id', 'www-authenticate']
const FIX = 'Let the proxy pass the access-control-* headers on, and OPTIONS through.'

/** Does what a client in a browser does, whose page is of `origin` (CORS). */
export async function examineBrowsers (
  mcpUrl: URL,
  origin: string,
  { documents, endpoints }: { documents: URL[], endpoints: URL[] },
  findings: Findings
): Promise<void> {
  const fix = origin === mcpUrl.origin ? FIX : `Add ${origin} to ALLOWED_ORIGINS. ${FIX}`
  try {
    const preflight = await ask(mcpUrl, origin)
    if (!allows(preflight, origin)) {
      findings.fail(
        'cors',
        `the preflight of ${origin} for ${mcpUrl.href} is answered ${preflight.status} ` +
          'without access-control-allow-origin',
        advise(preflight.status, fix)
      )
    }
    const reply = await send(mcpUrl, { method: 'POST', headers: { ...ACCEPT_BOTH, origin }, body: INITIALIZE })
    if (!allows(reply, origin)) {
      findings.fail(
        'cors',
        `the answer to a page of ${origin} comes without access-control-allow-origin`,
        advise(reply.status, fix)
      )
    }
    const exposed = splitHeader(reply.headers['access-control-expose-headers'])
    const hidden = EXPOSED.filter(name => !exposed.includes(name) && !exposed.includes('*'))
    if (hidden.length > 0) {
      findings.fail(
        'cors',
        `a page of ${origin} may not read ${hidden.join(', ')}: access-control-expose-headers does not name them`,
        fix
      )
    }
    for (const url of documents) {
      const document = await send(url, { headers: { origin } })
      if (!allows(document, origin)) {
        findings.fail('cors', `a page of ${origin} may not read ${url.href}`, advise(document.status, FIX))
      }
    }
    for (const url of endpoints) {
      const endpoint = await ask(url, origin)
      if (!allows(endpoint, origin)) {
        findings.fail('cors', `a page of ${origin} may not post to ${url.href}`, advise(endpoint.status, FIX))
      }
    }
    findings.okUnlessFound('cors', `pages of ${origin} can log in and call`)
  } catch (error) {
    findings.fail('cors', `a request as from a page of ${origin} failed: ${toMessage(error)}`, FIX)
  }
}

async function ask (url: URL, origin: string): Promise<Reply> {
  return await send(url, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,mcp-protocol-version,mcp-session-id'
    }
  })
}

function allows ({ status, headers }: Reply, origin: string): boolean {
  return status !== 404 && ['*', origin].includes(headers['access-control-allow-origin'] ?? '')
}

function splitHeader (header: string | string[] | undefined): string[] {
  return String(header ?? '').toLowerCase().split(',').map(name => name.trim())
}
