import { fill } from './fill.js'
import type { Received } from './send.js'
import type { RequestStep } from './steps.js'
import type { World } from './world.js'

/** What a stranger has learnt in a scenario. */
export class Memory {
  readonly #world: World
  readonly #learnt = new Map<string, string>()
  readonly #cookies = new Map<string, string>()

  constructor (world: World) {
    this.#world = world
  }

  /** A step with its words filled in. */
  filled (step: RequestStep): RequestStep {
    const fillIn = (text: string) => fill(text, (name, argument) => this.#word(name, argument))
    return {
      ...step,
      target: fillIn(step.target),
      headers: step.headers.map(([name, value]) => [fillIn(name), fillIn(value)] as const),
      ...(step.body !== undefined && { body: fillIn(step.body) })
    }
  }

  #word (name: string, argument: string): string {
    if (name === 'cookie') return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    return (
      this.#learnt.get(argument === '' ? name : `${name}:${argument}`) ??
      this.#world.word(name, argument) ??
      (argument === 'callback' ? '/oauth/callback' : `no-${name}`)
    )
  }

  learn ({ headers, body }: Received): void {
    this.#note('session:last', headers.get('mcp-session-id'))
    for (const [, name = '', value = ''] of (headers.get('set-cookie') ?? '').matchAll(/(?:^|, )([\w-]+)=([^;]*)/g)) {
      this.#cookies.set(name, value)
    }
    const location = headers.get('location')
    if (location !== undefined && URL.canParse(location)) {
      this.#note('location', location)
      for (const name of ['state', 'code']) {
        this.#note(`last:${name}`, new URL(location).searchParams.get(name) ?? undefined)
      }
    }
    const find = (word: string, pattern: RegExp) => {
      this.#note(word, pattern.exec(body)?.[1])
    }
    find('last:transaction', /name="transaction" value="([^"]+)"/)
    find('last:grant', /name="grant" value="([^"]+)"/)
    find('last:access', /"access_token":"([^"]+)"/)
    find('last:refresh', /"refresh_token":"([^"]+)"/)
    find('last:client', /"client_id":"([^"]+)"/)
    find('requestState', /"requestState":"([^"]+)"/)
    find('event', /(?:^|\n)id: (\S+)/)
    find('serverRequest', /"method":"elicitation\/create".*"id":"([^"]+)"|"id":"[^"]+","method":"elicitation/)
  }

  #note (word: string, value: string | undefined): void {
    if (value !== undefined && value.length < 4000) this.#learnt.set(word, value)
  }

  /** Logs in at the upstream, if the last response has sent its browser there. */
  async logIn (name: string): Promise<void> {
    const { upstream } = this.#world
    const location = this.#learnt.get('location')
    if (location === undefined || !location.startsWith(`${upstream.issuer}/`)) return
    const page = await (await upstream.fetch(location)).text()
    const request = /name="request" value="([^"]+)"/.exec(page)?.[1]
    if (request === undefined) return
    const back = await upstream.fetch(`${upstream.issuer}/login`, {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams({ request, login: name })
    })
    const callback = back.headers.get('location')
    if (callback === null) return
    const { pathname, search, searchParams } = new URL(callback)
    this.#note('last:callback', pathname + search)
    this.#note('last:state', searchParams.get('state') ?? undefined)
  }
}
