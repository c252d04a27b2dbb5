import { parse, type HTMLElement } from 'node-html-parser'
import { CookieJar } from 'tough-cookie'

/** A page as a browser without JavaScript sees it. */
export interface Page {
  url: URL
  status: number
  headers: Headers
  html: string
  document: HTMLElement
}

/** A browser without JavaScript: cookies, redirects and forms. */
export class Browser {
  readonly #jar = new CookieJar(undefined, { prefixSecurity: 'strict', allowSpecialUseDomain: true })
  readonly #stopAt: (url: URL) => boolean
  readonly #fetch: typeof fetch
  /** Every URL that was visited, in order. */
  readonly visited: URL[] = []

  /**
   * @param stopAt redirects to such a URL are not followed: they are the end of the journey (`location` of the page)
   * @param fetch the way to the pages
   */
  constructor (stopAt: (url: URL) => boolean = () => false, fetch = globalThis.fetch) {
    this.#stopAt = stopAt
    this.#fetch = fetch
  }

  async open (
    url: string | URL,
    init: { method?: string, body?: URLSearchParams, headers?: Record<string, string> } = {}
  ): Promise<Page> {
    let target = new URL(url)
    let { method = 'GET', body } = init
    for (let redirects = 0; redirects < 20; redirects++) {
      this.visited.push(target)
      const response = await this.#fetch(target, {
        method,
        redirect: 'manual',
        headers: { ...init.headers, accept: 'text/html', cookie: await this.#jar.getCookieString(secureView(target)) },
        ...body && { body }
      })
      for (const cookie of response.headers.getSetCookie()) {
        await this.#jar.setCookie(cookie, secureView(target), { ignoreError: false })
      }
      const html = await response.text()
      const location = response.headers.get('location')
      const next = location === null ? undefined : new URL(location, target)
      if (response.status < 300 || response.status >= 400 || next === undefined) {
        return { url: target, status: response.status, headers: response.headers, html, document: parse(html) }
      }
      if (this.#stopAt(next)) {
        return { url: next, status: response.status, headers: response.headers, html: '', document: parse('') }
      }
      if (response.status !== 307 && response.status !== 308) [method, body] = ['GET', undefined]
      target = next
    }
    throw new Error(`More than 20 redirects, the last to ${target.href}`)
  }

  /**
   * Submits the page's form, with its hidden fields, `fields`, and the submit button whose text or value is `button`.
   */
  async submit (page: Page, fields: Record<string, string> = {}, button?: string): Promise<Page> {
    const form = page.document.querySelector('form')
    if (form === null) throw new Error(`No form on ${page.url.href} (${page.status}): ${page.html.slice(0, 500)}`)
    const body = new URLSearchParams()
    for (const input of form.querySelectorAll('input[name]')) {
      const type = input.getAttribute('type')
      if (type === 'checkbox' && !input.hasAttribute('checked')) continue
      body.set(input.getAttribute('name') ?? '', input.getAttribute('value') ?? '')
    }
    for (const [name, value] of Object.entries(fields)) body.set(name, value)
    if (button !== undefined) {
      const pressed = form.querySelectorAll('button').find(element =>
        element.text.trim() === button || element.getAttribute('value') === button
      )
      if (pressed === undefined) throw new Error(`No button "${button}" on ${page.url.href}`)
      const name = pressed.getAttribute('name')
      if (name !== undefined) body.set(name, pressed.getAttribute('value') ?? '')
    }
    const action = new URL(form.getAttribute('action') ?? page.url.href, page.url)
    return await this.open(action, { method: 'POST', body, headers: { origin: page.url.origin } })
  }
}

// browsers treat http://localhost as secure: Secure cookies work there
function secureView (url: URL): string {
  const view = new URL(url)
  if (view.hostname === 'localhost') view.protocol = 'https:'
  return view.href
}

/**
 * Logs in as a person would: our consent page, then the demo upstream's login and consent pages.
 * @returns the page the journey ended at: the redirect to the client, or an error page
 */
export async function logIn (browser: Browser, authorizationUrl: string | URL, as = 'alice'): Promise<Page> {
  let page = await browser.open(authorizationUrl)
  for (let steps = 0; steps < 6 && page.status === 200 && page.document.querySelector('form') !== null; steps++) {
    if (page.document.querySelector('input[name=login]') !== null) {
      page = await browser.submit(page, { login: as, password: 'any' })
    } else if (page.document.querySelectorAll('button').some(button => button.text.trim() === 'Allow access')) {
      page = await browser.submit(page, {}, 'Allow access')
    } else page = await browser.submit(page)
  }
  return page
}
