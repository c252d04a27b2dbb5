import { ServiceError, type FailureReason } from '../../errors.js'
import { visible } from '../../displayed-text.js'
import type { LoginStepRecord, RecentLog, StepFailure, LoginVisitRecord } from '../../stores/attempts.js'
import type { Client } from '../client.js'
import type { BrokerEvent, BrokerObserver, RefreshEvent } from '../login-events.js'
import type { BrokerLog } from '../../log.js'
import { isLoopbackHost } from '../../loopback.js'
import { PREFIXES } from '../secrets.js'

export interface AttemptRecorderOptions {
  loginSteps: RecentLog<LoginStepRecord>
  visits: RecentLog<LoginVisitRecord>
  log: BrokerLog
  now: () => number
}

// a token in use is looked up all the time: only the calls right after the login matter
const FIRST_CALLS_SECONDS = 900
const CALLS = { ms: FIRST_CALLS_SECONDS * 1000, max: 50_000 }
// a client whose refresh fails tries again and again
const REFRESHES = { ms: 60_000, max: 5000 }
// the same request by the same program is left out, and a flood of programs must not fill the store
const VISITS = { ms: 60_000, max: 500 }
// 72 bits: enough to recognise which steps belong together
const LINK_LENGTH = 12
const MAX_DROPPED = 5
// their detail is of our own words; the id of a tenant is what the operator has to know
const OWN_WORDS: ReadonlySet<FailureReason | undefined> = new Set<FailureReason>(['tenant_not_allowed'])

/**
 * Writes down how logins go, for operators: which step, when, and why it failed; never a secret. No request waits for
 * it; if it fails, the log says so.
 */
export class AttemptRecorder {
  readonly #options: AttemptRecorderOptions
  /** What was written lately, and until when it is not written again; the oldest first. */
  readonly #calls = new Map<string, number>()
  readonly #visits = new Map<string, number>()
  readonly #refreshes = new Map<string, number>()

  constructor (options: AttemptRecorderOptions) {
    this.#options = options
  }

  /** Writes down a step of a login. */
  readonly observe: BrokerObserver = event => {
    if (event.type === 'grant_ended' || !this.#isOfInterest(event)) return
    const { now, loginSteps } = this.#options
    this.#write(loginSteps.append({
      step: event.type,
      at: now(),
      links: 'links' in event ? event.links.map(link => link.slice(0, LINK_LENGTH)) : [],
      ...event.error !== undefined && { failure: toFailure(event.error) },
      ...describeDropped(event),
      ...describeClient(event)
    }))
  }

  /** Writes down a request that may belong to any login. Repetitions within a minute are left out. */
  visit (visit: Omit<LoginVisitRecord, 'at'>): void {
    const { now, visits } = this.#options
    const address = visible(visit.address)
    const userAgent = visible(visit.userAgent)
    if (this.#isRepeated(this.#visits, [visit.request, visit.status, address, userAgent], VISITS)) return
    this.#write(visits.append({ ...visit, at: now(), address, userAgent }))
  }

  /** What all replicas wrote, the oldest first. */
  async read (): Promise<{ steps: LoginStepRecord[], visits: LoginVisitRecord[] }> {
    const { loginSteps, visits } = this.#options
    const [steps, visited] = await Promise.all([loginSteps.read(), visits.read()])
    return { steps, visits: visited }
  }

  #isOfInterest (event: BrokerEvent): boolean {
    if (event.type === 'token') return event.grantType !== 'refresh_token'
    if (event.type === 'refresh') return event.error !== undefined && !this.#isRepeatedRefresh(event)
    if (event.type !== 'call') return true
    if (event.loggedInAt === undefined) return false
    const seconds = this.#options.now() / 1000 - event.loggedInAt
    if (seconds < -1 || seconds > FIRST_CALLS_SECONDS) return false
    return !this.#isRepeated(this.#calls, [event.links, event.error === undefined], CALLS)
  }

  #isRepeatedRefresh ({ clientId, error }: RefreshEvent): boolean {
    const { code, reason } = toFailure(error)
    return this.#isRepeated(this.#refreshes, [clientId, code, reason], REFRESHES)
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

/** What the client named in vain, where its metadata are read. */
function describeDropped (event: BrokerEvent): Pick<LoginStepRecord, 'dropped'> {
  if (event.type !== 'registration' && event.type !== 'authorization') return {}
  const { dropped = [] } = event.client ?? {}
  return dropped.length === 0 ? {} : { dropped: dropped.slice(0, MAX_DROPPED).map(withoutSecrets) }
}

/** Whose step it is. */
function describeClient (
  event: BrokerEvent
): Pick<LoginStepRecord, 'clientId' | 'clientName' | 'clientKind' | 'redirectHost'> {
  switch (event.type) {
    case 'registration':
      return event.client === undefined
        ? describeMetadata(event.metadata)
        : describeKnownClient(event.client, event.client.metadata.redirect_uris[0])
    case 'authorization':
      return event.client === undefined
        ? {
            ...event.clientId !== undefined && { clientId: shownId(event.clientId) },
            ...event.redirectUri !== undefined && describeRedirectHost(event.redirectUri)
          }
        : describeKnownClient(event.client, event.redirectUri ?? event.client.metadata.redirect_uris[0])
    case 'token':
      return event.client === undefined ? { clientId: shownId(event.clientId) } : describeKnownClient(event.client)
    case 'refresh':
      return { clientId: shownId(event.clientId) }
    default:
      return {}
  }
}

/** A client that was not registered, by the metadata that it sent. */
function describeMetadata (metadata: unknown): Pick<LoginStepRecord, 'clientName' | 'redirectHost'> {
  const { client_name: name, redirect_uris: uris } = toMembers(metadata)
  const uri: unknown = Array.isArray(uris) ? uris[0] : undefined
  return {
    ...typeof name === 'string' && { clientName: visible(name) },
    ...typeof uri === 'string' && describeRedirectHost(uri)
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

/** A client id that anybody may have made up. If it looks like one of our secrets, it was put in the wrong place. */
function shownId (clientId: string): string {
  const secret = Object.entries(PREFIXES).some(([kind, prefix]) => kind !== 'client' && clientId.startsWith(prefix))
  return secret ? '(a secret instead of a client id)' : visible(clientId.split(/[?#]/)[0] ?? '')
}

function describeRedirectHost (uri: string): { redirectHost: string } {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  if (url === undefined) return { redirectHost: '(not a URL)' }
  if (!/^https?:$/.test(url.protocol)) return { redirectHost: visible(url.protocol) }
  return { redirectHost: isLoopbackHost(url.hostname) ? `${url.protocol}//${url.host}` : visible(url.host) }
}

function toFailure (error: unknown): StepFailure {
  if (!(error instanceof ServiceError)) {
    return { code: 'server_error', message: 'Internal error: see the log.' }
  }
  const { code, reason, message, detail } = error
  return {
    code,
    ...reason !== undefined && { reason },
    message: withoutSecrets(message),
    ...detail !== undefined && { detail: OWN_WORDS.has(reason) ? detail : withoutSecrets(detail) }
  }
}

/**
 * A text that another party may have written, without anything that may be a secret or name a person: e-mail addresses,
 * queries, and long words that nobody types.
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
