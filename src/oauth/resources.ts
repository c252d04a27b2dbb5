import { InvalidTargetError } from '../errors.js'

/** The resources we protect (RFC 8707): the MCP endpoints. */
export class Resources {
  readonly #issuer: string
  readonly #resources: readonly string[]

  /** @param paths of the MCP endpoints; the first is the default */
  constructor (issuer: string, paths: readonly [string, ...string[]]) {
    this.#issuer = issuer
    this.#resources = paths.map(path => issuer + path)
  }

  /** The resource of clients that name none. */
  get default (): string {
    return this.#resources[0] ?? this.#issuer
  }

  /** Whether a token for this resource is valid here: all endpoints are one server. */
  includes (resource: string): boolean {
    return this.#resources.includes(resource)
  }

  /**
   * The resource that a client means, in any spelling. Our issuer, with or without a trailing slash, means the default.
   * @throws {InvalidTargetError} if it is not one of our resources
   */
  resolve (resource: string | undefined): string {
    if (resource === undefined) return this.default
    const name = canonicalResource(resource)
    if (name === canonicalResource(this.#issuer)) return this.default
    const own = this.#resources.find(own => canonicalResource(own) === name)
    if (own !== undefined) return own
    throw new InvalidTargetError(`The resource is unknown. Resources of this server: ${this.#resources.join(', ')}.`)
  }
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
