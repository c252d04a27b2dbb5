import { InvalidTargetError } from '../errors.js'

/** The resources we protect (RFC 8707): the MCP endpoints at our origin. */
export class Resources {
  readonly #origin: string
  readonly #resources: readonly string[]

  /** @param paths of the MCP endpoints; the first is the default */
  constructor (publicUrl: string, paths: readonly [string, ...string[]]) {
    this.#origin = publicUrl
    this.#resources = paths.map(path => publicUrl + path)
  }

  /** The resource of clients that name none. */
  get default (): string {
    return this.#resources[0] ?? this.#origin
  }

  /** Whether a token for this resource is good here: all endpoints are one server. */
  includes (resource: string): boolean {
    return this.#resources.includes(resource)
  }

  /**
   * The resource that a client means. Our origin, and a trailing slash, mean what they say to people.
   * @throws {InvalidTargetError} for anybody else's
   */
  resolve (resource: string | undefined): string {
    if (resource === undefined) return this.default
    const name = resource.replace(/\/$/, '')
    if (name === this.#origin) return this.default
    if (this.#resources.includes(name)) return name
    throw new InvalidTargetError(`The resource is not one of this server. Resources: ${this.#resources.join(', ')}.`)
  }
}
