import { getMember } from '../members.js'
import type { PrimitiveKind } from './access.js'
import { Patterns } from './patterns.js'
import { findContradiction } from './contradictions.js'
import type { PolicyRules, PrimitivePatterns } from './rules.js'

/** A rule that has no effect on anybody. */
interface DeadRule {
  /** Its path in the rules. */
  at: readonly string[]
  /** A sentence for operators. */
  says: string
}

const KINDS: readonly PrimitiveKind[] = ['tools', 'resources', 'prompts']

/**
 * Rules that can never match, or that name nothing: only what is sure.
 * @param scopes those that there are
 */
export function findDeadRules (rules: PolicyRules, scopes: readonly string[]): DeadRule[] {
  const sets = patternSets(rules)
  return [
    ...sets.flatMap(({ at, patterns }) => KINDS.flatMap(kind => findOverruled([...at, kind], patterns[kind] ?? []))),
    ...findIdleRoles(rules),
    ...findUnknownScopes(rules, scopes),
    ...findUnobtainable(rules),
    ...findContradictions(rules)
  ]
}

function patternSets ({ roles = {}, scopes = {}, public: open }: PolicyRules) {
  const named = (member: string, sets: Readonly<Record<string, PrimitivePatterns>>) =>
    Object.entries(sets).map(([name, patterns]) => ({ at: [member, name], patterns }))
  return [...named('roles', roles), ...named('scopes', scopes), ...open ? [{ at: ['public'], patterns: open }] : []]
}

/** Patterns that a later `!` takes back whole, and `!` before which nothing is named. */
function findOverruled (at: readonly string[], patterns: readonly string[]): DeadRule[] {
  return patterns.flatMap((pattern, index) => {
    if (pattern.startsWith('!')) {
      const hasEarlier = patterns.slice(0, index).some(earlier => !earlier.startsWith('!'))
      const says = `${at.join('.')}: ${pattern} takes back nothing, as nothing before it is named`
      return hasEarlier ? [] : [{ at: [...at, pattern], says }]
    }
    // a pattern that names another one, * and all, names everything that the other does
    const later = patterns.slice(index + 1).find(other =>
      other.startsWith('!') && new Patterns([other.slice(1)]).findMatch(pattern) !== undefined
    )
    return later === undefined
      ? []
      : [{ at: [...at, pattern], says: `${at.join('.')}: ${pattern} never counts, as ${later} after it takes it back` }]
  })
}

function findIdleRoles ({ roles = {} }: PolicyRules): DeadRule[] {
  return Object.entries(roles).flatMap(([name, role]) => {
    const at = ['roles', name]
    const names = KINDS.some(kind => role[kind]?.some(pattern => !pattern.startsWith('!')) === true)
    return [
      ...names ? [] : [{ at, says: `roles.${name} names no tools, resources or prompts: it allows nothing` }],
      ...role.scopes?.length === 0
        ? [{ at: [...at, 'scopes'], says: `roles.${name}.scopes is empty: who has only this role can call nothing` }]
        : []
    ]
  })
}

function findUnknownScopes ({ roles = {}, scopes = {} }: PolicyRules, known: readonly string[]): DeadRule[] {
  const named = [
    ...Object.entries(roles).flatMap(([name, role]) =>
      (role.scopes ?? []).map(scope => ({ scope, at: ['roles', name, 'scopes', scope] }))
    ),
    ...Object.keys(scopes).map(scope => ({ scope, at: ['scopes', scope] }))
  ]
  return named.filter(({ scope }) => !known.includes(scope)).map(({ scope, at }) => ({
    at,
    says: `${at.slice(0, at.lastIndexOf(scope)).join('.')}: ${scope} is not one of MCP_SCOPES (${known.join(' ')})`
  }))
}

/** Scopes that something needs, and nobody can get. */
function findUnobtainable ({ roles, scopes = {} }: PolicyRules): DeadRule[] {
  if (roles === undefined) return []
  return Object.keys(scopes)
    .filter(scope => Object.values(roles).every(role => role.scopes !== undefined && !role.scopes.includes(scope)))
    .map(scope => ({
      at: ['scopes', scope],
      says: `scopes.${scope}: no role gives this scope, so nobody can use what needs it`
    }))
}

function findContradictions ({ login, roles = {} }: PolicyRules): DeadRule[] {
  const rules = [login ?? []].flat()
  const [one, other] = findContradiction(rules) ?? []
  if (one !== undefined && other !== undefined) {
    return [{ at: ['login'], says: `login: nobody can log in, as ${one} and ${other} cannot both hold` }]
  }
  return Object.entries(roles).flatMap(([name, { people }]) => {
    const [one, other] = people === undefined ? [] : findContradiction([...rules, people]) ?? []
    return one === undefined || other === undefined
      ? []
      : [{
          at: ['roles', name, 'people'],
          says: `roles.${name}: nobody has this role, as ${one} and ${other} cannot both hold`
        }]
  })
}

/** Patterns of tools that name none of the server's. */
export function findUnknownTools (rules: PolicyRules, tools: readonly string[]): DeadRule[] {
  const lists = [
    ...patternSets(rules).map(({ at, patterns }) => ({ at: [...at, 'tools'], patterns: patterns.tools ?? [] })),
    { at: ['limits', 'tools'], patterns: Object.keys(rules.limits?.tools ?? {}) },
    ...Object.entries(rules.roles ?? {}).map(([name, { limits }]) => ({
      at: ['roles', name, 'limits', 'tools'],
      patterns: Object.keys(getMember(limits, 'tools') ?? {})
    }))
  ]
  return lists.flatMap(({ at, patterns }) =>
    patterns.filter(pattern => {
      const named = new Patterns([pattern.replace(/^!/, '')])
      return !tools.some(tool => named.findMatch(tool) !== undefined)
    }).map(pattern => ({ at: [...at, pattern], says: `${at.join('.')}: ${pattern} names none of the server's tools` }))
  )
}
