import { parseSetCookie, stringifyCookie } from 'cookie'

/** Where a login ended. */
export interface LoginEnd {
  /** The redirect to the client, or the page that was the last. */
  url: URL
  status: number
  /** Of a page. */
  html: string
}

/** A person with a browser: it keeps cookies, follows redirects, and fills in the forms of a login. */
export class Person {
  readonly name: string
  readonly #fetch: typeof fetch
  readonly #cookies = new Map<string, Map<string, string>>()

  constructor (name: string, fetch: typeof globalThis.fetch) {
    this.name = name
    this.#fetch = fetch
  }

  /**
   * Opens a page, and follows redirects and forms to the end: allows access on our consent page, and logs in by name,
   * with any password, at the upstream.
   * @param isEnd redirects to such a URL are not followed
   */
  async logIn (url: URL, isEnd: (url: URL) => boolean): Promise<LoginEnd> {
    let end = await this.#open(url, isEnd)
    for (let forms = 0; forms < 6 && end.status === 200; forms++) {
      const form = findForm(end.html)
      if (form === undefined) return end
      if (form.fields.has('login')) form.fields.set('login', this.name)
      if (form.fields.has('password')) form.fields.set('password', 'any')
      end = await this.#open(new URL(form.action, end.url), isEnd, form.fields)
    }
    return end
  }

  async #open (url: URL, isEnd: (url: URL) => boolean, form?: URLSearchParams): Promise<LoginEnd> {
    let [target, body] = [url, form]
    for (let redirects = 0; redirects < 20; redirects++) {
      const response = await this.#fetch(target, {
        redirect: 'manual',
        headers: {
          accept: 'text/html',
          cookie: stringifyCookie(Object.fromEntries(this.#cookiesOf(target))),
          ...body && { origin: target.origin }
        },
        ...body && { method: 'POST', body }
      })
      for (const header of response.headers.getSetCookie()) {
        const { name, value = '' } = parseSetCookie(header)
        this.#cookiesOf(target).set(name, value)
      }
      const html = await response.text()
      const location = response.headers.get('location')
      if (response.status < 300 || response.status >= 400 || location === null) {
        return { url: target, status: response.status, html }
      }
      const next = new URL(location, target)
      if (isEnd(next)) return { url: next, status: response.status, html: '' }
      if (response.status !== 307 && response.status !== 308) body = undefined
      target = next
    }
    throw new Error(`More than 20 redirects, the last to ${target.href}`)
  }

  #cookiesOf ({ origin }: URL): Map<string, string> {
    const cookies = this.#cookies.get(origin) ?? new Map<string, string>()
    this.#cookies.set(origin, cookies)
    return cookies
  }
}

/** The form of a page, with its first button pressed. */
function findForm (html: string): { action: string, fields: URLSearchParams } | undefined {
  const form = /<form\b[^>]*>[^]*?<\/form>/.exec(html)?.[0]
  if (form === undefined) return undefined
  const fields = new URLSearchParams()
  for (const [input] of form.matchAll(/<input\b[^>]*>/g)) {
    const name = attribute(input, 'name')
    if (name !== '' && attribute(input, 'type') !== 'checkbox') fields.set(name, attribute(input, 'value'))
  }
  const [button = ''] = /<button\b[^>]*>/.exec(form) ?? []
  if (attribute(button, 'name') !== '') fields.set(attribute(button, 'name'), attribute(button, 'value'))
  return { action: attribute(form, 'action'), fields }
}

function attribute (tag: string, name: string): string {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? ''
  return value.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}
