type Fetch = typeof globalThis.fetch

/** A part of a server: all that is under a path of an origin. */
interface Place {
  origin: string
  /** Without a slash at its end; empty: all of the origin. */
  path: string
}

export interface BackChannelOptions {
  /** The server as browsers and tokens name it. */
  issuerUrl?: URL | undefined
  /** The same as this service reaches it; absent: it has one address only. Without a path, only the origin differs. */
  internalUrl?: URL | undefined
  /** URLs that requests go to as they are. */
  asWritten?: ReadonlyArray<URL | undefined>
}

/**
 * The way to a server that has one address for browsers, and another one in the network of this service. Everything
 * here names it by the public one; only `fetch` knows where a request goes.
 */
export class BackChannel {
  /** The server as this service reaches it, if it has an address of its own for that. */
  readonly internalUrl: URL | undefined
  readonly #places: { public: Place, internal: Place } | undefined
  readonly #asWritten: ReadonlySet<string>

  constructor ({ issuerUrl, internalUrl, asWritten = [] }: BackChannelOptions = {}) {
    this.internalUrl = internalUrl
    this.#asWritten = new Set(asWritten.flatMap(url => url === undefined ? [] : [url.href]))
    this.#places = issuerUrl && internalUrl && findPlaces(issuerUrl, internalUrl)
  }

  /** The public form of a URL that the server wrote, maybe with the address that it was asked at. */
  toPublic (url: string): string {
    if (this.#places === undefined || !URL.canParse(url)) return url
    return move(new URL(url), this.#places.internal, this.#places.public)?.href ?? url
  }

  /** Where a request to a public URL of the server goes. */
  toInternal (url: URL): URL {
    if (this.#places === undefined || this.#asWritten.has(url.href)) return url
    return move(url, this.#places.public, this.#places.internal) ?? url
  }

  /** Whether a URL is the server's at its internal address. */
  isInternal (url: string): boolean {
    return this.toPublic(url) !== url
  }

  /** `fetch` that takes this way. */
  fetch (fetch: Fetch = globalThis.fetch): Fetch {
    if (this.#places === undefined) return fetch
    return async (input, init) => {
      const url = this.toInternal(new URL(input instanceof Request ? input.url : input))
      return await fetch(input instanceof Request ? new Request(url, input) : url.href, init)
    }
  }
}

/** What differs: the paths' last parts that are the same, such as `/realms/example`, stay as they are. */
function findPlaces (issuerUrl: URL, internalUrl: URL): { public: Place, internal: Place } {
  const [ours, theirs] = [segments(internalUrl), segments(issuerUrl)]
  if (ours.length === 0) theirs.length = 0
  while (ours.length > 0 && ours.at(-1) === theirs.at(-1)) {
    ours.pop()
    theirs.pop()
  }
  return {
    public: { origin: issuerUrl.origin, path: toPath(theirs) },
    internal: { origin: internalUrl.origin, path: toPath(ours) }
  }
}

const segments = ({ pathname }: URL) => pathname.split('/').filter(segment => segment !== '')
const toPath = (names: readonly string[]) => names.map(name => `/${name}`).join('')

/** The same URL elsewhere; undefined if it is not under `from`. */
function move (url: URL, from: Place, to: Place): URL | undefined {
  if (url.origin !== from.origin) return undefined
  // RFC 8414 3.1: the path of the issuer comes after this
  const [, wellKnown = '', path = ''] = /^(\/\.well-known\/[^/]+)?(.*)$/.exec(url.pathname) ?? []
  if (path !== from.path && !path.startsWith(`${from.path}/`)) return undefined
  const moved = new URL(to.origin)
  moved.pathname = wellKnown + to.path + path.slice(from.path.length)
  moved.search = url.search
  return moved
}
