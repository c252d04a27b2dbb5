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
   * The resource that a client means. Our issuer, and a trailing slash, mean what they say to people.
   * @throws {InvalidTargetError} for anybody else's
   */
  resolve (resource: string | undefined): string {
    if (resource === undefined) return this.default
    const name = resource.replace(/\/$/, '')
    if (name === this.#issuer) return this.default
    if (this.#resources.includes(name)) return name
    throw new InvalidTargetError(`The resource is not one of this server. Resources: ${this.#resources.join(', ')}.`)
  }
}
