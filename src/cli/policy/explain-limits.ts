import type { CallerInfo } from '../../caller.js'
import { SPELLED } from '../../policy/file/parse.js'
import type { Policy } from '../../policy/policy.js'
import type { CallLimits, LimitRules, PolicyRules } from '../../policy/rules.js'

const KINDS = ['callsPerMinute', 'callsPerDay', 'concurrentCalls'] as const

/** A place that names limits. */
interface Named {
  at: readonly string[]
  limits: CallLimits | undefined
}

/**
 * How much a person may call, each limit with the rule that names it.
 * @param where a rule stands, for people
 */
export function limitLines (
  rules: PolicyRules,
  policy: Policy,
  caller: CallerInfo,
  where: (at: readonly string[]) => string
): string[] {
  const limits = policy.limitsOf(caller)
  if (limits === undefined) return ['Limits: none by the policy.']
  const sources = limitSources(rules, policy.accessOf(caller).roles)
  const patterns = new Set(sources.flatMap(({ limits }) => Object.keys(limits.tools ?? {})))
  const ofTools = [...patterns].flatMap(pattern => {
    const named = sources.map(({ at, limits }) => ({ at: [...at, 'tools', pattern], limits: limits.tools?.[pattern] }))
    return linesFor(`each tool ${pattern}: `, limits.ofTool(pattern), named, where)
  })
  return [
    'Limits:',
    ...linesFor('', limits.all, sources, where),
    ...ofTools,
    ...linesFor('the client: ', limits.ofClient, [{ at: ['clientLimits'], limits: rules.clientLimits }], where)
  ]
}

/** The limits of the person's roles, then those for all. */
function limitSources ({ roles = {}, limits }: PolicyRules, held: readonly string[]) {
  const named: Array<{ at: readonly string[], limits: LimitRules }> = held.flatMap(name => {
    const limits = roles[name]?.limits
    return limits === undefined ? [] : [{ at: ['roles', name, 'limits'], limits }]
  })
  return limits === undefined ? named : [...named, { at: ['limits'], limits }]
}

function linesFor (
  whose: string,
  limits: CallLimits | undefined,
  sources: readonly Named[],
  where: (at: readonly string[]) => string
): string[] {
  return KINDS.flatMap(kind => {
    const limit = limits?.[kind]
    if (limit === undefined) return []
    const source = sources.find(({ limits }) => limits?.[kind] === limit)
    const by = source === undefined ? '' : `, by ${where([...source.at, kind])}`
    return [`  ${whose}${SPELLED[kind] ?? kind} ${limit}${by}`]
  })
}
