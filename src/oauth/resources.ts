import { InvalidTargetError } from '../errors.js'
import type { Policy } from '../policy/policy.js'

/**
 * One MCP server that an authorization server issues tokens for. A token is good for one server.
 * @example
 * ```ts
 * import type { ProtectedServer } from 'fastify-mcp-oauth'
 *
 * export const notes: ProtectedServer = {
 *   title: 'Notes',
 *   paths: ['/notes/mcp', '/notes/sse'],
 *   scopes: ['notes:read', 'notes:write']
 * }
 * ```
 */
export interface ProtectedServer {
  /** What people call it, if there are several. */
  title?: string
  /**
   * Paths of its endpoints, from the issuer. Each is a resource (RFC 8707), the first that of clients that name none.
   */
  paths: readonly [string, ...string[]]
  /** Its scopes; the first is granted to a client that names none. */
  scopes: readonly [string, ...string[]]
  /** Who may log in to use it. Default: everybody whom the upstream lets in. */
  policy?: Policy
}

/** The resources we protect (RFC 8707): the MCP endpoints, of one server or several. */
export class Resources {
  readonly #issuer: string
  readonly #servers: ReadonlyMap<string, ProtectedServer>
  /** The names of the MCP endpoints. */
  readonly #endpoints: readonly string[]
  readonly #isOneServer: boolean
  /** The scopes of all MCP servers. */
  readonly scopes: readonly string[]

  /** @param own what is not an MCP server, but our own */
  constructor (issuer: string, servers: readonly ProtectedServer[], own: readonly ProtectedServer[] = []) {
    this.#issuer = issuer
    this.#servers = new Map(
      [...servers, ...own].flatMap(server => server.paths.map(path => [issuer + path, server]))
    )
    this.#endpoints = servers.flatMap(({ paths }) => paths.map(path => issuer + path))
    this.#isOneServer = servers.length === 1
    this.scopes = [...new Set(servers.flatMap(({ scopes }) => scopes))]
  }

  /** Whether a token for this resource is valid here. */
  includes (resource: string): boolean {
    return this.#servers.has(resource)
  }

  /** The server that a resource belongs to: all its endpoints are one. Undefined if it is not served here. */
  find (resource: string): ProtectedServer | undefined {
    return this.#servers.get(resource)
  }

  /**
   * The resource that a client means, in any spelling. Our issuer, with or without a trailing slash, means the only
   * server, as does a request that names none.
   * @throws {InvalidTargetError} if it is not one of our resources, or may be one of several servers
   */
  resolve (resource: string | undefined): ProtectedResource {
    const [first] = this.#servers
    const name = resource === undefined ? undefined : canonicalResource(resource)
    const isDefault = name === undefined || name === canonicalResource(this.#issuer)
    const found = isDefault && this.#isOneServer
      ? first
      : [...this.#servers].find(([own]) => canonicalResource(own) === name)
    if (found !== undefined) return { resource: found[0], server: found[1] }
    throw new InvalidTargetError(
      `${isDefault ? 'The resource is missing (RFC 8707)' : 'The resource is unknown'}. Resources of this server: ` +
        `${this.#endpoints.join(', ')}.`
    )
  }
}

/** A resource, in our spelling, and the server that it belongs to. */
export interface ProtectedResource {
  resource: string
  server: ProtectedServer
}

/**
 * The canonical spelling of a URI (RFC 3986 6.2.2.1, 6.2.3): scheme and host in lower case, without the default port,
 * the dot at the end of a full name, or a trailing slash. Paths are not changed.
 */
export function canonicalResource (uri: string): string {
  const [, scheme = '', host = '', port = '', path = ''] =
    /^(https?):\/\/([^/?#:@[\]]+|\[[^\]@]*\])(?::(\d*))?((?:[/?#].*)?)$/is.exec(uri) ?? []
  if (scheme === '') return uri
  const isDefault = port === '' || port === (scheme.toLowerCase() === 'https' ? '443' : '80')
  return `${scheme}://${host.replace(/\.$/, '')}`.toLowerCase() + (isDefault ? '' : `:${port}`) + path.replace(/\/$/, '')
}
