import type { Client } from './client.js'
import type { BrokerLog } from '../log.js'

/** The HTTP request that a step was made by. */
export interface StepRequest {
  /** What the log calls it. */
  readonly id: string
  /** The address that it came from, according to the app's `trustProxy`. */
  readonly ip: string
  /** The trace that it belongs to, in hexadecimal. A client may name any. */
  readonly mcpTraceId?: string | null
}

/** What is known of a grant. */
export interface StepGrant {
  grantId: string
  clientId: string
  /** The person's issuer, and what it calls them. */
  issuer: string
  subject: string
  /** The MCP endpoint that it is for. */
  resource: string
  scopes: readonly string[]
}

/** A step that ended: well, or with an `error`. */
interface Step {
  error?: unknown
  /** Absent if no request of a client or a browser made it. */
  http?: StepRequest | undefined
  /** Absent until it is known. */
  grant?: StepGrant
  /** Who logged in, as far as the upstream says; absent until it is known. */
  person?: { issuer: string, subject: string }
}

/** A step of one login. Steps with a link in common belong to the same one. */
interface LoginStep extends Step {
  /** SHA-256 of what links one step to the next: consent form's transaction, our `state`, code, access token. */
  links: readonly string[]
}

/** `POST /register`. */
export interface RegistrationEvent extends Step {
  type: 'registration'
  /** What the client sent. */
  metadata: unknown
  /** Absent if it was refused. */
  client?: Client
}

/** A client's authorization request was accepted, or refused. */
export interface AuthorizationEvent extends LoginStep {
  type: 'authorization'
  /** What the client sent. */
  clientId: string | undefined
  redirectUri: string | undefined
  /** Absent if it is unknown. */
  client?: Client
}

/** The person decided on the consent page. Denial is an error, too. */
export interface ConsentEvent extends LoginStep {
  type: 'consent'
  clientId?: string
}

/** The person was sent on to the upstream, or could not be. */
interface UpstreamEvent extends LoginStep {
  type: 'upstream'
}

/** The person came back from the upstream: the client gets its code, or the error. */
export interface CallbackEvent extends LoginStep {
  type: 'callback'
  /** Absent until it is known. */
  clientId?: string
}

/** `POST /token`. */
export interface TokenEvent extends LoginStep {
  type: 'token'
  grantType: string | undefined
  clientId: string
  /** Absent if it is unknown, or did not prove who it is. */
  client?: Client
  /** A refresh token that was rotated a moment ago: the same response was given again. */
  repeated?: boolean
}

/** The upstream's tokens of a login were refreshed, or could not be. */
export interface RefreshEvent extends Step {
  type: 'refresh'
  /** Whose login it is. */
  clientId: string
}

/**
 * Why a grant has ended. `revoked`: its client gave it back. `disconnected`: its person did. `replayed`: a code or a
 * refresh token of it was used again. `upstream`: the login there has ended. `surplus`: the person has too many.
 * `policy`: its person may no longer use this server.
 */
export type GrantEnd = 'revoked' | 'disconnected' | 'replayed' | 'upstream' | 'surplus' | 'policy' | 'ended'

/** A grant has ended, before its time. */
interface GrantEndedEvent extends Step {
  type: 'grant_ended'
  grant: StepGrant
  cause: GrantEnd
}

/** An access token was looked up in the store: at its first call, and every few seconds while it is in use. */
export interface CallEvent extends LoginStep {
  type: 'call'
  /** Epoch seconds: when the person logged in. Absent where the token is unknown. */
  loggedInAt?: number
}

/**
 * What happens in the broker, by its `type`. With an `error`, it failed. An event may contain secrets: observers must
 * take only what they need.
 * @example
 * ```ts
 * import type { BrokerEvent } from 'fastify-mcp-oauth'
 *
 * // takes nothing that may be secret
 * export function describe ({ type, error }: BrokerEvent): string {
 *   return error === undefined ? type : [type, 'failed'].join(' ')
 * }
 * ```
 */
export type BrokerEvent =
  | RegistrationEvent
  | AuthorizationEvent
  | ConsentEvent
  | UpstreamEvent
  | CallbackEvent
  | TokenEvent
  | RefreshEvent
  | GrantEndedEvent
  | CallEvent

/**
 * Called with what happens in the broker, as it happens. Nothing waits for it, and if it throws, that is logged. Pass
 * some as `observers` of `mcpService`.
 * @example
 * ```ts
 * import type { BrokerObserver } from 'fastify-mcp-oauth'
 *
 * export const countLogins: BrokerObserver = event => {
 *   if (event.type !== 'token' || event.grantType !== 'authorization_code') return
 *   console.info(event.clientId, event.error === undefined ? 'logged somebody in' : 'failed')
 * }
 * ```
 */
export type BrokerObserver = (event: BrokerEvent) => void

/** Combines observers. If one throws, that is logged, and no login fails. */
export function combineObservers (observers: readonly BrokerObserver[], log: BrokerLog): BrokerObserver {
  return event => {
    for (const observe of observers) {
      try {
        observe(event)
      } catch (err) {
        log.error({ err, event: event.type }, 'an observer of the broker failed')
      }
    }
  }
}

/** Informs observers of a step who has logged in. */
export function notePerson (event: Step, { issuer, subject }: { issuer: string, subject?: string | undefined }): void {
  if (subject !== undefined) event.person = { issuer, subject }
}

/** What observers are told of a grant. */
export function describeGrant ({ grantId, clientId, issuer, subject, resource, scopes }: StepGrant): StepGrant {
  return { grantId, clientId, issuer, subject, resource, scopes }
}

/** Does a step, and reports how it ended. */
export async function observed<T> (
  observe: BrokerObserver,
  event: BrokerEvent,
  step: () => T | Promise<T>
): Promise<T> {
  const result = await observedFailure(observe, event, step)
  observe(event)
  return result
}

/** Does a part of a step, and reports it only if it fails: the caller reports success, with what is known by then. */
export async function observedFailure<T> (
  observe: BrokerObserver,
  event: BrokerEvent,
  step: () => T | Promise<T>
): Promise<T> {
  try {
    return await step()
  } catch (error) {
    observe({ ...event, error })
    throw error
  }
}
