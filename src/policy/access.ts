import { Patterns } from './patterns.js'
import { toResourceFit } from './resource-patterns.js'
import type { PrimitivePatterns } from './rules.js'
import { toNameSpellings, toUriSpellings, type Spellings } from './spellings.js'

/** What a request reaches. */
export interface Primitive {
  kind: PrimitiveKind
  /** A tool's or prompt's name; a resource's URI or URI template. */
  name: string
  /** Whether the name is a URI template, as a server lists it. */
  isTemplate?: boolean
  /** Scopes that the server itself declares for it. */
  scopes?: readonly string[]
}

export const PRIMITIVE_KINDS = ['tools', 'resources', 'prompts'] as const

export type PrimitiveKind = typeof PRIMITIVE_KINDS[number]

/**
 * Whether something may be used; what may be used now, or after a login or with more scopes, is listed. `why` is for
 * operators, and `at` is the path of the rule that decided, if one did: `roles`, `reader`, `tools`, `get_*`.
 */
export type Verdict =
  | { kind: 'allowed', why: string, at?: readonly string[] }
  /** After a login. */
  | { kind: 'login', scopes: readonly string[], why: string, at?: readonly string[] }
  /** With all of these scopes, which the person may have. */
  | { kind: 'scopes', scopes: readonly string[], why: string, at?: readonly string[] }
  /** Never. */
  | { kind: 'refused', why: string, at?: readonly string[] }

/** Patterns for each kind of primitive. */
export class PrimitiveSet {
  readonly #kinds: Readonly<Record<PrimitiveKind, Patterns>>

  /** @param areDemands whether what is named is not allowed by it, but needs something */
  constructor ({ tools = [], resources = [], prompts = [] }: PrimitivePatterns, areDemands = false) {
    this.#kinds = {
      tools: new Patterns(tools, undefined, areDemands),
      resources: new Patterns(resources, toResourceFit, areDemands),
      prompts: new Patterns(prompts, undefined, areDemands)
    }
  }

  /** @returns the pattern that names it, in every spelling; undefined if none does */
  findMatch (primitive: Primitive, spellings = toSpellings(primitive)): string | undefined {
    return this.#kinds[primitive.kind].findMatchOfAll(spellings)
  }

  /** @returns the pattern that names it in any spelling */
  findMatchOfAny (primitive: Primitive, spellings = toSpellings(primitive)): string | undefined {
    return this.#kinds[primitive.kind].findMatchOfAny(spellings)
  }

  /** Whether anything of a kind may be named. */
  namesAny (kind: PrimitiveKind): boolean {
    return !this.#kinds[kind].isEmpty
  }

  /** Whether everything of a kind is named, also what is not known. */
  namesAll (kind: PrimitiveKind): boolean {
    return this.#kinds[kind].allowsAll
  }
}

function toSpellings ({ kind, name, isTemplate = false }: Primitive): Spellings {
  if (isTemplate) return { exact: [name], equivalent: [] }
  return kind === 'resources' ? toUriSpellings(name) : toNameSpellings(name)
}

/** A role that somebody has. */
export interface HeldRole {
  name: string
  primitives: PrimitiveSet
  /** Undefined: all. */
  scopes: ReadonlySet<string> | undefined
}

export interface AccessParts {
  /** The person's roles; undefined: there are no roles, and everything is allowed. */
  roles: readonly HeldRole[] | undefined
  /** What needs a scope. */
  scoped: ReadonlyMap<string, PrimitiveSet>
  publicSet: PrimitiveSet
  /** Scopes of the caller; undefined: nobody has logged in. */
  scopes: readonly string[] | undefined
}

/** Verdicts that are remembered, and how long the name of each may be: callers choose the names. */
const MAX_REMEMBERED = 500
const MAX_NAME = 200

/** What one caller may use. Lists and calls ask the same question, so they agree. */
export class Access {
  readonly #parts: AccessParts
  /** By all that matters but the name, and by the name. */
  readonly #verdicts = new Map<string, Map<string, Verdict>>()
  #remembered = 0

  constructor (parts: AccessParts) {
    this.#parts = parts
  }

  /** Names of the person's roles. */
  get roles (): readonly string[] {
    return this.#parts.roles?.map(({ name }) => name) ?? []
  }

  judge (primitive: Primitive): Verdict {
    const { kind, name, isTemplate = false, scopes = [] } = primitive
    if (name.length > MAX_NAME) return this.#judge(primitive)
    const isPlain = !isTemplate && scopes.length === 0
    const key = isPlain ? kind : `${kind}${isTemplate ? ' template ' : ' '}${scopes.join(' ')}`
    const known = this.#verdicts.get(key)
    let verdict = known?.get(name)
    if (verdict === undefined) {
      verdict = this.#judge(primitive)
      this.#remember(key, name, verdict)
    }
    return verdict
  }

  #remember (key: string, name: string, verdict: Verdict): void {
    if (this.#remembered >= MAX_REMEMBERED) {
      this.#verdicts.clear()
      this.#remembered = 0
    }
    this.#remembered++
    const known = this.#verdicts.get(key) ?? new Map<string, Verdict>()
    this.#verdicts.set(key, known.set(name, verdict))
  }

  #judge (primitive: Primitive): Verdict {
    const { roles, publicSet, scopes } = this.#parts
    const spellings = toSpellings(primitive)
    const open = publicSet.findMatch(primitive, spellings)
    if (open !== undefined) {
      return { kind: 'allowed', why: `public.${primitive.kind}: ${open}`, at: ['public', primitive.kind, open] }
    }
    const needed = this.#scopesOf(primitive, spellings)
    const allowing = roles?.map(role => ({ role, pattern: role.primitives.findMatch(primitive, spellings) }))
      .filter(({ pattern }) => pattern !== undefined)
    if (allowing?.length === 0) return { kind: 'refused', why: 'no role allows it' }
    const [first] = allowing ?? []
    const why = first === undefined
      ? 'there are no roles'
      : `roles.${first.role.name}.${primitive.kind}: ${first.pattern}`
    const at = first && { at: ['roles', first.role.name, primitive.kind, first.pattern ?? ''] }
    return this.#missing(needed) ??
      (scopes === undefined ? { kind: 'login', scopes: needed, why, ...at } : { kind: 'allowed', why, ...at })
  }

  /** What is said of scopes that the caller does not have. */
  #missing (needed: readonly string[]): Verdict | undefined {
    const { scopes } = this.#parts
    if (scopes === undefined) return undefined
    const missing = needed.filter(scope => !scopes.includes(scope))
    const unobtainable = missing.find(scope => !this.mayHave(scope))
    if (unobtainable !== undefined) {
      return {
        kind: 'refused',
        why: `scopes: it needs ${unobtainable}, which no role gives`,
        at: ['scopes', unobtainable]
      }
    }
    const [first] = missing
    return first === undefined
      ? undefined
      : { kind: 'scopes', scopes: needed, why: `scopes: it needs ${needed.join(' ')}`, at: ['scopes', first] }
  }

  /** Whether the caller may use everything of a kind, also what is not known, such as the tool that made a task. */
  mayUseAll (kind: PrimitiveKind): boolean {
    const { roles, scoped, scopes } = this.#parts
    if (scopes === undefined) return false
    return (roles === undefined || roles.some(role => role.primitives.namesAll(kind))) &&
      [...scoped].every(([scope, set]) => scopes.includes(scope) || !set.namesAny(kind))
  }

  /** Whether the person may have a scope. */
  mayHave (scope: string): boolean {
    const { roles } = this.#parts
    return roles === undefined || roles.some(role => role.scopes === undefined || role.scopes.has(scope))
  }

  // what is spelled differently needs the scope, too
  #scopesOf (primitive: Primitive, spellings: Spellings): string[] {
    const named = [...this.#parts.scoped].filter(([, set]) => set.findMatchOfAny(primitive, spellings) !== undefined)
    return [...new Set([...primitive.scopes ?? [], ...named.map(([scope]) => scope)])]
  }
}
