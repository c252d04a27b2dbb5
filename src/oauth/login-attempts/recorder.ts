import { ServiceError } from '../../errors.js'
import { visible } from '../../displayed-text.js'
import type { LoginStepRecord, RecentLog, StepFailure, LoginVisitRecord } from '../../stores/attempts.js'
import type { Client } from '../client.js'
import type { BrokerEvent, BrokerObserver } from '../login-events.js'
import type { BrokerLog } from '../../log.js'
import { isLoopbackHost } from '../../loopback.js'
import { PREFIXES } from '../secrets.js'

export interface AttemptRecorderOptions {
  loginSteps: RecentLog<LoginStepRecord>
  visits: RecentLog<LoginVisitRecord>
  log: BrokerLog
  now: () => number
}

// a token that is in use is looked up all the time: only the calls that follow the login are of interest
const FIRST_CALLS_SECONDS = 900
const CALLS = { ms: FIRST_CALLS_SECONDS * 1000, max: 50_000 }
// the same program that asks the same again; and no flood of programs fills the store
const VISITS = { ms: 60_000, max: 500 }
// 72 bits: enough to tell which steps belong together
const LINK_LENGTH = 12

/**
 * Writes down how logins go, for operators: which step, when, and why it failed; never a secret. Nobody waits for it,
 * and where it fails, only the log tells.
 */
export class AttemptRecorder {
  readonly #options: AttemptRecorderOptions
  /** What was written of late, and until when it is not worth repeating; the oldest first. */
  readonly #calls = new Map<string, number>()
  readonly #visits = new Map<string, number>()

  constructor (options: AttemptRecorderOptions) {
    this.#options = options
  }

  /** Writes down a step of a login. */
  readonly observe: BrokerObserver = event => {
    if (!this.#isOfInterest(event)) return
    const { now, loginSteps } = this.#options
    this.#write(loginSteps.append({
      step: event.type,
      at: now(),
      links: 'links' in event ? event.links.map(link => link.slice(0, LINK_LENGTH)) : [],
      ...event.error !== undefined && { failure: toFailure(event.error) },
      ...describeClient(event)
    }))
  }

  /** Writes down a request that may be of any login. The same one again within a minute is left out. */
  visit (visit: Omit<LoginVisitRecord, 'at'>): void {
    const { now, visits } = this.#options
    const address = visible(visit.address)
    const userAgent = visible(visit.userAgent)
    if (this.#isRepeated(this.#visits, [visit.request, visit.status, address, userAgent], VISITS)) return
    this.#write(visits.append({ ...visit, at: now(), address, userAgent }))
  }

  /** What was written, of all replicas, the oldest first. */
  async read (): Promise<{ steps: LoginStepRecord[], visits: LoginVisitRecord[] }> {
    const { loginSteps, visits } = this.#options
    const [steps, visited] = await Promise.all([loginSteps.read(), visits.read()])
    return { steps, visits: visited }
  }

  #isOfInterest (event: BrokerEvent): boolean {
    if (event.type === 'token') return event.grantType !== 'refresh_token'
    if (event.type !== 'call') return true
    if (event.loggedInAt === undefined) return false
    const seconds = this.#options.now() / 1000 - event.loggedInAt
    if (seconds < -1 || seconds > FIRST_CALLS_SECONDS) return false
    return !this.#isRepeated(this.#calls, [event.links, event.error === undefined], CALLS)
  }

  /** Whether this was written less than `ms` ago. While there is no room to remember it, it counts as written. */
  #isRepeated (written: Map<string, number>, what: unknown[], { ms, max }: { ms: number, max: number }): boolean {
    const [key, now] = [JSON.stringify(what), this.#options.now()]
    for (const [old, until] of written) {
      if (until > now) break
      written.delete(old)
    }
    if (written.has(key) || written.size >= max) return true
    written.set(key, now + ms)
    return false
  }

  #write (writing: Promise<void>): void {
    writing.catch((err: unknown) => { this.#options.log.warn({ err }, 'a step of a login could not be written down') })
  }
}

/** Whose step it is. */
function describeClient (
  event: BrokerEvent
): Pick<LoginStepRecord, 'clientId' | 'clientName' | 'clientKind' | 'redirectHost'> {
  switch (event.type) {
    case 'registration': {
      if (event.client !== undefined) return describeKnownClient(event.client, event.client.metadata.redirect_uris[0])
      const { client_name: name, redirect_uris: uris } = toMembers(event.metadata)
      const uri: unknown = Array.isArray(uris) ? uris[0] : undefined
      return {
        ...typeof name === 'string' && { clientName: visible(name) },
        ...typeof uri === 'string' && describeRedirectHost(uri)
      }
    }
    case 'authorization':
      if (event.client !== undefined) {
        return describeKnownClient(event.client, event.redirectUri ?? event.client.metadata.redirect_uris[0])
      }
      return {
        ...event.clientId !== undefined && { clientId: shownId(event.clientId) },
        ...event.redirectUri !== undefined && describeRedirectHost(event.redirectUri)
      }
    case 'token':
      return event.client === undefined ? { clientId: shownId(event.clientId) } : describeKnownClient(event.client)
    default:
      return {}
  }
}

function describeKnownClient ({ clientId, kind, metadata }: Client, redirectUri?: string) {
  return {
    clientId: shownId(clientId),
    clientKind: kind,
    ...metadata.client_name !== undefined && { clientName: visible(metadata.client_name) },
    ...redirectUri !== undefined && describeRedirectHost(redirectUri)
  }
}

/** A client id that anybody may have made up. One that looks like a secret of ours was put in the wrong place. */
function shownId (clientId: string): string {
  const secret = Object.entries(PREFIXES).some(([kind, prefix]) => kind !== 'client' && clientId.startsWith(prefix))
  return secret ? '(a secret in the place of the client id)' : visible(clientId.split(/[?#]/)[0] ?? '')
}

function describeRedirectHost (uri: string): { redirectHost: string } {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  if (url === undefined) return { redirectHost: '(no URL)' }
  if (!/^https?:$/.test(url.protocol)) return { redirectHost: visible(url.protocol) }
  return { redirectHost: isLoopbackHost(url.hostname) ? `${url.protocol}//${url.host}` : visible(url.host) }
}

function toFailure (error: unknown): StepFailure {
  if (!(error instanceof ServiceError)) {
    return { code: 'server_error', message: 'Something went wrong on our side; the log tells what.' }
  }
  const { code, reason, message, detail } = error
  return {
    code,
    ...reason !== undefined && { reason },
    message: withoutSecrets(message),
    ...detail !== undefined && { detail: withoutSecrets(detail) }
  }
}

/**
 * A text that another side may have written, without what may be a secret or name a person: addresses of mail, queries,
 * and long words that no person writes.
 */
function withoutSecrets (text: string): string {
  return [...text.slice(0, 1000)
    .replace(/\?[^\s;,]+/g, '?…')
    .replace(/\S+@\S+/g, '…')
    .replace(/[\w~+=%-]*\d[\w~+=%-]*/g, word => word.length < 16 ? word : '…')
    .replace(/[\w~+=%-]{40,}/g, '…')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')].slice(0, 400).join('')
}

function toMembers (value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {}
}
