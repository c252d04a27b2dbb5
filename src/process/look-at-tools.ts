import type { CallerInfo } from '../caller.js'
import type { Log } from '../log.js'
import type { CreateServer } from '../mcp/create-server.js'
import { describeServer } from '../mcp/describe-server.js'
import { findUnknownTools } from '../policy/dead-rules.js'
import type { Policy } from '../policy/policy.js'

const MAX_SHOWN = 50

/**
 * Lists the tools of the hosted server, as at its home page, and logs those that clients treat as dangerous because
 * they say nothing of themselves, and rules of the policy that name none of them. Never rejects: a server may need a
 * real caller.
 */
export async function lookAtTools (
  createServer: CreateServer,
  caller: CallerInfo,
  log: Log,
  policy?: Policy
): Promise<void> {
  try {
    const { tools } = await describeServer(createServer, caller, log)
    if (policy !== undefined) warnOfUnknownTools(policy, tools.map(({ name }) => name), log)
    const silent = tools.filter(({ annotated }) => !annotated).map(({ name }) => name)
    if (silent.length === 0) return
    log.warn(
      { tools: silent.slice(0, MAX_SHOWN) },
      `${silent.length} of ${tools.length} tools have no annotations.readOnlyHint: clients ask for approval of each ` +
        'call, and directories do not list the server (docs/your-server.md)'
    )
  } catch (err) {
    log.warn({ err }, 'the tools of the server could not be listed at the start, for a caller without a name')
  }
}

function warnOfUnknownTools ({ rules }: Policy, tools: readonly string[], log: Log): void {
  for (const { at, says } of findUnknownTools(rules, tools)) log.warn({ rule: at.join('.') }, `policy: ${says}`)
}
