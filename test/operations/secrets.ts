// nobody can look for less in a log
const MIN_LENGTH = 10
const SECRET =
  /^(?:access_token|refresh_token|id_token|token|code|code_verifier|state|nonce|client_secret|registration_access_token|transaction)$/

/**
 * Every secret that was sent or received by `fetch` in this process: by clients, browsers, the service, and to the
 * upstream.
 */
export class Secrets {
  /** kind -> values */
  readonly found = new Map<string, Set<string>>()

  add (kind: string, value: unknown): void {
    if (typeof value !== 'string' || value.length < MIN_LENGTH) return
    const values = this.found.get(kind) ?? new Set()
    this.found.set(kind, values.add(value))
  }

  /** `fetch` that notes what goes by. */
  watch (send: typeof fetch): typeof fetch {
    return async (input, init) => {
      const request = new Request(input, init)
      this.#noteUrl(request.url)
      this.#noteHeaders(request.headers)
      if (init?.body != null) this.#noteBody(await request.clone().text())
      const response = await send(input, init)
      this.#noteHeaders(response.headers)
      const location = response.headers.get('location')
      if (location !== null) this.#noteUrl(new URL(location, request.url).href)
      if (response.headers.get('content-type')?.startsWith('application/json') === true) {
        this.#noteBody(await response.clone().text())
      }
      return response
    }
  }

  /** The kinds of secrets that stand in a text, as they are or encoded. */
  in (text: string): string[] {
    const stands = (value: string) =>
      [
        value,
        encodeURIComponent(value),
        Buffer.from(value).toString('base64').replace(/=+$/, ''),
        Buffer.from(value).toString('base64url')
      ].some(form => text.includes(form))
    return [...this.found].flatMap(([kind, values]) => [...values].some(stands) ? [kind] : [])
  }

  #noteUrl (url: string): void {
    this.#noteMembers(new URL(url).searchParams)
  }

  #noteHeaders (headers: Headers): void {
    const [scheme = '', credentials = ''] = headers.get('authorization')?.split(' ') ?? []
    this.add(`${scheme.toLowerCase()} credentials`, credentials)
    if (/^basic$/i.test(scheme)) this.add('client secret', Buffer.from(credentials, 'base64').toString().split(':')[1])
    for (const cookie of headers.get('cookie')?.split('; ') ?? []) {
      this.add('cookie', cookie.slice(cookie.indexOf('=') + 1))
    }
    for (const cookie of headers.getSetCookie()) this.add('cookie', cookie.slice(cookie.indexOf('=') + 1).split(';')[0])
  }

  #noteBody (text: string): void {
    try {
      const body: unknown = JSON.parse(text)
      if (typeof body === 'object' && body !== null) this.#noteMembers(Object.entries(body))
    } catch {
      this.#noteMembers(new URLSearchParams(text))
    }
  }

  #noteMembers (members: Iterable<[string, unknown]>): void {
    for (const [name, value] of members) if (SECRET.test(name)) this.add(name, value)
  }
}
