import { setTimeout as delay } from 'node:timers/promises'
import type { ChildProcess } from 'node:child_process'
import { root, runnable } from '../support/root.js'
import { answers, end, start } from '../replicas/processes.js'
import { newFigures, type Figures } from './figures.js'
import { fetchFromAnywhere, KINDS, Load, type Counts } from './load.js'
import {
  newCode,
  parseTokens,
  redeem,
  refresh,
  register,
  type Answer,
  type Client,
  type LoginTarget
} from '../support/oauth-flow.js'

/** The service that is killed. */
export const SERVICE = 'test/crashes/crashing-service'

/** Logins that are carried from round to round. */
const MAX_LOGINS = 24

/** What a client knows of a login. */
interface Login {
  client: Client
  code: string
  /** Every access token that was answered. */
  access: string[]
  refreshToken: string
  /** The tokens before, and when the response to their rotation came. */
  rotated: Array<{ token: string, successor: string, at: number }>
  /** When a rotation was asked for that was not answered. */
  askedAt?: number
}

export interface CrashOptions {
  rounds: number
  file: string
  port: number
  issuer: string
  /** How long the response of a rotation is given again: longer than a process takes to start. */
  reuseSeconds: number
  /** What Node.js runs as the service. Default: the TypeScript. */
  program?: readonly string[]
  onRound?: (figures: Figures) => void
}

/**
 * Kills the service (kill -9) in the middle of logins and rotations, again and again, and looks each time whether what
 * was answered holds.
 */
export async function crash ({ rounds, onRound, ...options }: CrashOptions): Promise<Figures> {
  const crashes = new Crashes(options)
  for (let round = 0; round < rounds; round++) {
    await crashes.round()
    onRound?.(crashes.figures)
  }
  await crashes.finish()
  return crashes.figures
}

class Crashes {
  readonly figures = newFigures()
  readonly #environment: NodeJS.ProcessEnv
  readonly #target: LoginTarget
  readonly #load = new Load()
  /** The service, for each kind of load. */
  readonly #loaded: Readonly<Record<keyof Counts, LoginTarget>>
  readonly #reuseMs: number
  readonly #program: readonly string[]
  #logins: Login[] = []
  /** Logins whose last token but one was rotated, to be used when its time is over. */
  #late: Array<{ login: Login, token: string, dueAt: number }> = []
  /** Codes whose redemption was not answered. */
  #codes: Array<Pick<Login, 'client' | 'code'>> = []
  #client: Client | undefined
  #process: ChildProcess | undefined

  constructor (
    { file, port, issuer, reuseSeconds, program = runnable(SERVICE) }: Omit<CrashOptions, 'rounds' | 'onRound'>
  ) {
    this.#program = program
    this.#reuseMs = reuseSeconds * 1000
    const target = { url: `http://localhost:${port}`, upstream: { issuer } }
    this.#target = { ...target, fetch: fetchFromAnywhere }
    const loaded = (kind: keyof Counts) => ({ ...target, fetch: this.#load.fetchFor(kind, target.url) })
    this.#loaded = { logins: loaded('logins'), rotations: loaded('rotations'), refreshes: loaded('refreshes') }
    this.#environment = {
      PATH: process.env.PATH,
      STATE_FILE: file,
      PORT: String(port),
      ISSUER: issuer,
      ENCRYPTION_KEYS: `k1:${Buffer.alloc(32, 7).toString('base64url')}`,
      REUSE_SECONDS: String(reuseSeconds)
    }
  }

  /** The load, its end, the next process, and what it makes of what was before. */
  async round (): Promise<void> {
    if (this.#process === undefined) await this.#start()
    const load = this.#load
    const workers = load.begin({
      logins: async () => { await this.#logIn() },
      rotations: async () => { await this.#withLogin(login => this.#rotate(login)) },
      refreshes: async () => { await this.#withLogin(login => this.#refreshTwice(login)) }
    }, () => { this.figures.unanswered++ })
    const underWay = await load.waitUntilUnderWay()
    for (const kind of KINDS) {
      if (underWay[kind] > 0) this.figures.underWay[kind]++
      else this.#fault(`no ${kind} under way at the kill`)
    }
    load.end()
    if (this.#process !== undefined) await end(this.#process, 'SIGKILL')
    await Promise.all(workers)
    await this.#start()
    await this.#verify()
    this.figures.rounds++
  }

  /** Waits for what is still to be tried. */
  async finish (): Promise<void> {
    const last = Math.max(0, ...this.#late.map(({ dueAt }) => dueAt))
    await delay(Math.max(0, last - Date.now()))
    await this.#replayLate()
    if (this.#process !== undefined) await end(this.#process, 'SIGKILL')
  }

  async #start (): Promise<void> {
    this.#process = start(process.execPath, this.#program, {
      cwd: root,
      env: this.#environment,
      stdio: ['ignore', 'ignore', 'inherit']
    })
    await answers(`${this.#target.url}/ready`, this.#process)
  }

  /** A login is one worker's as long as it works on it. */
  async #withLogin (act: (login: Login) => Promise<void>): Promise<void> {
    const login = this.#logins.shift()
    if (login === undefined) await this.#logIn()
    else await act(login).finally(() => { this.#logins.push(login) })
  }

  async #logIn (): Promise<void> {
    if (this.#logins.length >= MAX_LOGINS) this.#logins.shift()
    const client = Math.random() < 0.2 ? undefined : this.#client
    const target = this.#loaded.logins
    const used = client ?? await register(target)
    this.#client = used
    const code = await newCode(target, used)
    const response = await redeem(target, used, code).catch((error: unknown) => {
      this.#codes.push({ client: used, code })
      throw error
    })
    const { accessToken, refreshToken } = parseTokens(response)
    this.figures.answered.logins++
    this.#logins.push({ client: used, code, access: [accessToken], refreshToken, rotated: [] })
  }

  async #rotate (login: Login): Promise<void> {
    const begun = Date.now()
    const response = await refresh(this.#loaded.rotations, login.client, login.refreshToken).catch((error: unknown) => {
      login.askedAt = begun
      throw error
    })
    take(login, response)
    this.figures.answered.rotations++
  }

  /** As clients do that refresh in parallel: one of the requests rotates, the other one gets the same response. */
  async #refreshTwice (login: Login): Promise<void> {
    const [begun, token] = [Date.now(), login.refreshToken]
    const both = await Promise.allSettled([1, 2].map(() => refresh(this.#loaded.refreshes, login.client, token)))
    const [first, second] = both.flatMap(one => one.status === 'fulfilled' ? [one.value] : [])
    if (first === undefined) {
      login.askedAt = begun
      throw new Error('no response')
    }
    take(login, first)
    if (second === undefined) throw new Error('one response')
    this.figures.answered.refreshes++
    const [one, other] = [first, second].map(response => response.member('refresh_token'))
    if (one !== other) this.#fault(`two refreshes at once have two successors: ${first.text} ${second.text}`)
  }

  async #verify (): Promise<void> {
    const logins = this.#logins
    this.#logins = []
    for (const { client, code } of this.#codes.splice(0)) await this.#redeemAgain(client, code)
    for (const [index, login] of logins.entries()) {
      await this.#tryAccessTokens(login)
      const last = login.rotated.at(-1)
      // if a rotation was not answered, the token before is no longer the last but one
      if (last !== undefined && login.askedAt === undefined) await this.#repeatInTime(login, last)
      if (!await this.#tryRefresh(login)) continue
      const [old] = login.rotated.slice(-1)
      if (index % 4 === 1) await this.#replayCode(login)
      else if (index % 4 !== 2 || old === undefined) this.#logins.push(login)
      else this.#late.push({ login, token: old.token, dueAt: Date.now() + this.#reuseMs })
    }
    await this.#replayLate()
  }

  async #tryAccessTokens (login: Login): Promise<void> {
    // a grant has twenty that are good; one more was perhaps issued, and not answered
    for (const token of login.access.slice(-10)) {
      this.figures.accessTokens++
      if (!await this.#isGood(token)) this.#fault('an answered access token is refused')
    }
  }

  async #isGood (token: string): Promise<boolean> {
    const response = await fetch(`${this.#target.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream'
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' })
    })
    await response.text()
    return response.status !== 401 && response.status < 500
  }

  /** Within its time, a rotated token gets the response of its rotation. */
  async #repeatInTime (login: Login, { token, successor, at }: Login['rotated'][number]): Promise<void> {
    // the process was slow to start: it would be a replay, which is tried elsewhere
    if (Date.now() - at > this.#reuseMs * 0.8) return
    this.figures.rotatedInTime++
    const response = await refresh(this.#target, login.client, token)
    if (response.member('refresh_token') !== successor && Date.now() - at < this.#reuseMs) {
      this.#fault(`a rotation is not repeated: ${response.status} ${response.text}`)
    }
  }

  /** @returns whether the login continues */
  async #tryRefresh (login: Login): Promise<boolean> {
    const { askedAt } = login
    this.figures[askedAt === undefined ? 'refreshTokens' : 'retried']++
    const response = await refresh(this.#target, login.client, login.refreshToken)
    delete login.askedAt
    if (response.status === 200) take(login, response)
    // of a rotation that was not answered, the response is given again for a while only
    else if (askedAt === undefined || Date.now() - askedAt < this.#reuseMs) {
      this.#fault(`an answered refresh token is refused: ${response.status} ${response.text}`)
    }
    return response.status === 200
  }

  /** It may have been redeemed, or not; whatever it was, it is good once. */
  async #redeemAgain (client: Client, code: string): Promise<void> {
    this.figures.unansweredCodes++
    const first = await redeem(this.#target, client, code)
    const second = await redeem(this.#target, client, code)
    for (const { status, text } of [first, second].slice(first.status === 200 ? 1 : 0)) {
      if (status !== 400) this.#fault(`a code whose redemption was not answered: ${status} ${text}`)
    }
  }

  async #replayCode (login: Login): Promise<void> {
    this.figures.usedCodes++
    const response = await redeem(this.#target, login.client, login.code)
    if (response.status !== 400) this.#fault(`a used code: ${response.status} ${response.text}`)
    if (await this.#isGood(login.access.at(-1) ?? '')) this.#fault('a replayed code has not ended its grant')
  }

  async #replayLate (): Promise<void> {
    const due = this.#late.filter(({ dueAt }) => dueAt <= Date.now())
    this.#late = this.#late.filter(one => !due.includes(one))
    for (const { login, token } of due) {
      this.figures.rotatedLate++
      const response = await refresh(this.#target, login.client, token)
      if (response.status !== 400) this.#fault(`a rotated token, late: ${response.status} ${response.text}`)
      if (await this.#isGood(login.access.at(-1) ?? '')) this.#fault('a replayed refresh token has not ended its grant')
    }
  }

  #fault (what: string): void {
    this.figures.faults.push(`round ${this.figures.rounds + 1}: ${what}`)
  }
}

/** Takes the tokens of a response. */
function take (login: Login, response: Answer): void {
  const { accessToken, refreshToken } = parseTokens(response)
  login.rotated.push({ token: login.refreshToken, successor: refreshToken, at: Date.now() })
  login.access.push(accessToken)
  login.refreshToken = refreshToken
}
