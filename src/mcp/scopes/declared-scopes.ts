import { UriTemplate, type JSONRPCRequest } from '@modelcontextprotocol/server'

/**
 * The scopes (RFC 6749 3.3) that are needed, all of them, by name.
 * @example
 * ```ts
 * import type { ScopesByName } from 'fastify-mcp-oauth'
 *
 * export const toolScopes: ScopesByName = { list_notes: ['notes:read'], delete_note: ['notes:read', 'notes:write'] }
 * ```
 */
export type ScopesByName = Readonly<Record<string, readonly string[]>>

/**
 * The scopes that are needed, by tool, resource and prompt.
 * @example
 * ```ts
 * import type { ScopesByPrimitive } from 'fastify-mcp-oauth'
 *
 * export const scopes: ScopesByPrimitive = {
 *   tools: { delete_note: ['notes:write'] },
 *   resources: { 'note://{id}': ['notes:read'] },
 *   prompts: { summarize: ['notes:read'] }
 * }
 * ```
 */
export interface ScopesByPrimitive {
  /** By the tool's name. */
  tools?: ScopesByName
  /** By URI, or by URI template (RFC 6570) for every URI that it matches. */
  resources?: ScopesByName
  /** By the prompt's name. */
  prompts?: ScopesByName
}

const NONE: readonly string[] = []

/** The scopes that the tools, resources and prompts of one server need. */
export class DeclaredScopes {
  readonly #tools = new Map<string, readonly string[]>()
  readonly #prompts = new Map<string, readonly string[]>()
  readonly #resources = new Map<string, readonly string[]>()
  readonly #templates = new Map<UriTemplate, readonly string[]>()

  add (scopes: ScopesByName | ScopesByPrimitive): void {
    for (const [name, needed] of Object.entries<readonly string[] | ScopesByName | undefined>({ ...scopes })) {
      if (needed === undefined) continue
      if (isScopes(needed)) this.#tools.set(name, needed)
      else if (name === 'tools') addAll(this.#tools, needed)
      else if (name === 'prompts') addAll(this.#prompts, needed)
      else if (name === 'resources') this.#addResources(needed)
      else {
        throw new TypeError(
          `requireScopes takes lists of scopes by tool, or tools, resources and prompts; ${
            JSON.stringify(name)
          } is neither.`
        )
      }
    }
  }

  /** The scopes that one request needs. */
  neededFor ({ method, params }: JSONRPCRequest): readonly string[] {
    if (method === 'tools/call') return needed(this.#tools, params?.name)
    if (method === 'prompts/get') return needed(this.#prompts, params?.name)
    if (method === 'resources/read' && typeof params?.uri === 'string') return this.#neededForResource(params.uri)
    return NONE
  }

  /** The scopes that all of the tools need. */
  get allTools (): readonly string[] {
    return [...new Set([...this.#tools.values()].flat())]
  }

  #addResources (scopes: ScopesByName): void {
    for (const [uri, needed] of Object.entries(scopes)) {
      if (UriTemplate.isTemplate(uri)) this.#templates.set(new UriTemplate(uri), needed)
      this.#resources.set(uri, needed)
      this.#resources.set(normalize(uri), needed)
    }
  }

  #neededForResource (uri: string): readonly string[] {
    const known = this.#resources.get(uri) ?? this.#resources.get(normalize(uri))
    if (known !== undefined) return known
    return [...this.#templates].flatMap(([template, needed]) =>
      template.match(normalize(uri)) !== null || template.match(uri) !== null ? needed : NONE
    )
  }
}

function isScopes (needed: readonly string[] | ScopesByName): needed is readonly string[] {
  return Array.isArray(needed)
}

function addAll (to: Map<string, readonly string[]>, scopes: ScopesByName): void {
  for (const [name, needed] of Object.entries(scopes)) to.set(name, needed)
}

function needed (by: ReadonlyMap<string, readonly string[]>, name: unknown): readonly string[] {
  return typeof name === 'string' ? by.get(name) ?? NONE : NONE
}

/** A URI in the form in which both SDKs look it up: `NOTE://a` is `note://a`. */
function normalize (uri: string): string {
  return URL.parse(uri)?.href ?? uri
}
