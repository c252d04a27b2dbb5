import { isObject } from '../members.js'
import { parseObject, send } from './http-probe.js'
import type { Findings } from './findings.js'

/** Asks the service what it can reach. Where a proxy keeps `/readyz` to itself, nothing is found. */
export async function examineReadiness (mcpUrl: URL, findings: Findings): Promise<void> {
  const url = new URL(`${mcpUrl.pathname.replace(/\/mcp$/, '')}/readyz`, mcpUrl)
  const reply = await send(url).catch(() => undefined)
  const { status, checks } = parseObject(reply?.body ?? '') ?? {}
  if (typeof status !== 'string' || !isObject(checks)) return
  const failing = Object.entries(checks).filter(([, result]) => result === 'failing').map(([name]) => name)
  for (const name of failing) {
    const { says, fix } = EXPLANATIONS[name] ?? { says: `the check ${name} of /readyz fails`, fix: LOG }
    findings.fail('ready', says, fix)
  }
  if (status === 'closing') {
    findings.warn('ready', 'the replica that answered is shutting down', 'Run the doctor again.')
  } else findings.okUnlessFound('ready', 'the service reaches what it needs')
}

const LOG = 'The log of the service says why, in the line "not ready".'

const EXPLANATIONS: Readonly<Record<string, { says: string, fix: string }>> = {
  store: {
    says: 'the service cannot reach its store: whatever else is found below may be a consequence',
    fix: `Look at Redis, and at REDIS_URL. ${LOG}`
  },
  upstream: {
    says: 'the service cannot read the metadata of the upstream: nobody can log in, while those who have are served',
    fix: `Look at the upstream, and at OAUTH_ISSUER_URL. ${LOG}`
  }
}
