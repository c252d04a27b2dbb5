import { Patterns } from './patterns.js'
import type { PrimitivePatterns } from './rules.js'

/** What a request reaches. */
export interface Primitive {
  kind: PrimitiveKind
  /** A tool's or prompt's name; a resource's URI or URI template. */
  name: string
  /** Scopes that the server itself declares for it. */
  scopes?: readonly string[]
}

export type PrimitiveKind = 'tools' | 'resources' | 'prompts'

/**
 * Whether something may be used; what may be used now, or after a login or with more scopes, is listed. `why` is for
 * operators.
 */
export type Verdict =
  | { kind: 'allowed', why: string }
  /** After a login. */
  | { kind: 'login', scopes: readonly string[], why: string }
  /** With all of these scopes, which the person may have. */
  | { kind: 'scopes', scopes: readonly string[], why: string }
  /** Never. */
  | { kind: 'refused', why: string }

/** Patterns for each kind of primitive. */
export class PrimitiveSet {
  readonly #kinds: Readonly<Record<PrimitiveKind, Patterns>>

  constructor ({ tools = [], resources = [], prompts = [] }: PrimitivePatterns) {
    this.#kinds = { tools: new Patterns(tools), resources: new Patterns(resources), prompts: new Patterns(prompts) }
  }

  /** @returns the pattern that names it; undefined if none does */
  findMatch ({ kind, name }: Primitive): string | undefined {
    return this.#kinds[kind].findMatch(name)
  }
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

/** What one caller may use. Lists and calls ask the same question, so they agree. */
export class Access {
  readonly #parts: AccessParts

  constructor (parts: AccessParts) {
    this.#parts = parts
  }

  /** Names of the person's roles. */
  get roles (): readonly string[] {
    return this.#parts.roles?.map(({ name }) => name) ?? []
  }

  judge (primitive: Primitive): Verdict {
    const { roles, publicSet, scopes } = this.#parts
    const open = publicSet.findMatch(primitive)
    if (open !== undefined) return { kind: 'allowed', why: `public.${primitive.kind}: ${open}` }
    const needed = this.#scopesOf(primitive)
    const allowing = roles?.map(role => ({ role, pattern: role.primitives.findMatch(primitive) }))
      .filter(({ pattern }) => pattern !== undefined)
    if (allowing?.length === 0) return { kind: 'refused', why: 'no role allows it' }
    const [first] = allowing ?? []
    const why = first === undefined
      ? 'there are no roles'
      : `roles.${first.role.name}.${primitive.kind}: ${first.pattern}`
    if (scopes === undefined) return { kind: 'login', scopes: needed, why }
    const missing = needed.filter(scope => !scopes.includes(scope))
    if (missing.length === 0) return { kind: 'allowed', why }
    const unobtainable = missing.find(scope => !this.mayHave(scope))
    return unobtainable === undefined
      ? { kind: 'scopes', scopes: needed, why: `scopes: it needs ${needed.join(' ')}` }
      : { kind: 'refused', why: `scopes: it needs ${unobtainable}, which no role gives` }
  }

  /** Whether the person may have a scope. */
  mayHave (scope: string): boolean {
    const { roles } = this.#parts
    return roles === undefined || roles.some(role => role.scopes === undefined || role.scopes.has(scope))
  }

  #scopesOf (primitive: Primitive): string[] {
    const named = [...this.#parts.scoped].filter(([, set]) => set.findMatch(primitive) !== undefined)
    return [...new Set([...primitive.scopes ?? [], ...named.map(([scope]) => scope)])]
  }
}
