import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  askToRegister,
  authorizationUrl,
  bearer,
  callMcp,
  LOOPBACK_URI,
  newTokens,
  refresh,
  register,
  type Client,
  type LoginTarget,
  type Tokens
} from '../support/oauth-flow.js'
import { fetchFromAnywhere } from './load.js'

interface Login extends Tokens {
  client: Client
}

// what is wrong is for the operator alone
const LEAKS = /sqlite|ENOSPC|EROFS|\.data|state\.|at .*\.[jt]s:\d+/i

/** People who log in, and clients that register, whatever the disk of the service has room for. */
export class DiskLoad {
  /** Responses of the service by their status. */
  readonly statuses = new Map<number, number>()
  readonly faults: string[] = []
  readonly logins: Login[] = []
  readonly registered: Client[] = []
  readonly #target: LoginTarget
  readonly #origin: string

  constructor (url: string, issuer: string) {
    this.#origin = url
    this.#target = { url, upstream: { issuer }, fetch: async (input, init) => await this.#watched(input, init) }
  }

  async logIn (): Promise<void> {
    const client = await register(this.#target)
    this.logins.push({ client, ...await newTokens(this.#target, client) })
  }

  /** Everything at once, until something is so. */
  async runUntil (isOver: () => Promise<boolean>): Promise<void> {
    const load = { isOver: false }
    const work = [
      () => this.logIn(),
      () => this.logIn(),
      () => this.#rotate(),
      () => this.#registerLarge(),
      () => this.#registerLarge()
    ]
    const workers = work.map(async act => {
      // what is refused is tried again: the statuses are looked at
      while (!load.isOver) await act().catch(async () => { await delay(randomInt(10)) })
    })
    while (!await isOver()) await delay(50)
    load.isOver = true
    await Promise.all(workers)
  }

  /** What was answered holds: every login, and every registration. */
  async verify (): Promise<void> {
    for (const login of this.logins) {
      const { status, text } = await refresh(this.#target, login.client, login.refreshToken)
      if (status !== 200) this.faults.push(`an answered refresh token is refused: ${status} ${text}`)
      if (!await this.isGood(login)) this.faults.push('an answered access token is refused')
    }
    for (const client of this.registered.slice(-20)) {
      const { status } = await this.#target.fetch(authorizationUrl(this.#target, client), { redirect: 'manual' })
      if (status !== 200) this.faults.push(`an answered registration is unknown: ${status}`)
    }
  }

  async isGood ({ accessToken }: Login): Promise<boolean> {
    // a request without a session stores nothing
    const { status } = await callMcp(this.#target, bearer(accessToken), { jsonrpc: '2.0', id: 1, method: 'ping' })
    return status !== 401 && status < 500
  }

  async #rotate (): Promise<void> {
    const login = this.logins.shift()
    if (login === undefined) return await this.logIn()
    try {
      const answer = await refresh(this.#target, login.client, login.refreshToken)
      if (answer.status === 200) {
        login.refreshToken = answer.member('refresh_token') ?? ''
        login.accessToken = answer.member('access_token') ?? ''
      } else if (answer.status < 500) this.faults.push(`a refresh costs the login: ${answer.status} ${answer.text}`)
    } finally {
      this.logins.push(login)
    }
  }

  async #registerLarge (): Promise<void> {
    const uris = [LOOPBACK_URI, ...Array.from({ length: 9 }, (_, index) => `https://a.example/${index}${'x'.repeat(700)}`)]
    const answer = await askToRegister(this.#target, {
      client_name: 'Large',
      redirect_uris: uris,
      token_endpoint_auth_method: 'none'
    })
    const clientId = answer.member('client_id')
    if (answer.status !== 201 && answer.status < 500) this.faults.push(`/register: ${answer.status} ${answer.text}`)
    if (clientId !== undefined) this.registered.push({ clientId, redirectUri: LOOPBACK_URI })
  }

  async #watched (input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> {
    const response = await fetchFromAnywhere(input, init)
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.origin !== this.#origin) return response
    const { status } = response
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
    if (status < 500) return response
    const text = await response.clone().text()
    const isClear = status === 503 && /temporarily_unavailable|The operator of this service has to look/.test(text)
    if (!isClear || LEAKS.test(text)) this.faults.push(`${url.pathname}: ${status} ${text.slice(0, 300)}`)
    return response
  }
}
