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

  /** Whether a token for this resource is good here: all endpoints are one server. */
  includes (resource: string): boolean {
    return this.#resources.includes(resource)
  }

  /**
   * The resource that a client means, however it is written. Our issuer, and a trailing slash, mean what they say to people.
   * @throws {InvalidTargetError} for anybody else's
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
 * A URI as others write the same one (RFC 3986 6.2.2.1, 6.2.3): scheme and host in any case, with or without the default
 * port, and a trailing slash. Nothing else is mended: a path means what it says.
 */
export function canonicalResource (uri: string): string {
  const [, scheme = '', host = '', port = '', path = ''] =
    /^(https?):\/\/([^/?#:@[\]]+|\[[^\]@]*\])(?::(\d*))?((?:[/?#].*)?)$/is.exec(uri) ?? []
  if (scheme === '') return uri
  const isDefault = port === '' || port === (scheme.toLowerCase() === 'https' ? '443' : '80')
  return `${scheme}://${host}`.toLowerCase() + (isDefault ? '' : `:${port}`) + path.replace(/\/$/, '')
}
