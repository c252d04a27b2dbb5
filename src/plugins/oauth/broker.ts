import type { FastifyBaseLogger } from 'fastify'
import fp from 'fastify-plugin'
import type { CallerInfo, VerifyAccessToken } from '../../caller.js'
import { createBroker, type Broker as BrokerParts } from '../../oauth/broker.js'
import type { BrokerOptions } from '../../oauth/options.js'
import { toUpstreamSettings } from '../../oauth/upstream-settings.js'
import { findOpenHost } from '../../oauth/providers/open-to-all.js'

/**
 * The authorization server that brokers to the upstream, as far as an app around it needs it: `app.oauthBroker`.
 * @example
 * ```ts
 * import type { Broker } from 'fastify-mcp-oauth'
 *
 * // Lists what the caller has at an API of the login server.
 * export async function listFiles (broker: Broker, accessToken: string): Promise<unknown> {
 *   const caller = await broker.accessTokens.verify(accessToken)
 *   const token = await broker.getUpstreamAccessToken(caller)
 *   const response = await fetch('https://api.example.com/files', { headers: { authorization: 'Bearer ' + token } })
 *   return await response.json()
 * }
 * ```
 */
export interface Broker {
  /** The access tokens that it issues. */
  readonly accessTokens: {
    /** Establishes who calls with an access token of this broker; throws as `VerifyAccessToken` says. */
    readonly verify: VerifyAccessToken
  }
  /**
   * The caller's access token at the upstream, refreshed if it has expired; undefined if there is none that works.
   * Rejects with an `InvalidGrantError` if the login there has ended, an `UpstreamError` if its response cannot be
   * used, or a `TemporarilyUnavailableError` if it, or the store, cannot be reached.
   */
  getUpstreamAccessToken (caller: CallerInfo): Promise<string | undefined>
  /**
   * Ends all logins of a person now: their tokens, sessions and streams, on every replica, and what they have approved.
   * Nothing keeps them from logging in again: change the policy first. Rejects with a `TemporarilyUnavailableError` if
   * the store, or without an `issuer` the upstream, cannot be reached.
   * @param person `issuer`: of their subject, as in `CallerInfo`. Default: the upstream
   * @returns how many logins there were
   */
  endGrantsOf (person: { issuer?: string, subject: string }): Promise<number>
  /** Rejects with an `OAuthError` if the upstream cannot be reached or used. */
  check (): Promise<void>
}

/** The decorator that holds all of the broker, for its own endpoints. */
export const kBroker: unique symbol = Symbol('fastify-mcp-oauth/broker')

declare module 'fastify' {
  interface FastifyInstance {
    /** The authorization server that brokers to the upstream. */
    oauthBroker: Broker
    [kBroker]: BrokerParts
  }
}

/** Makes the broker of this context, and closes it with the app. */
export const broker = fp<Omit<BrokerOptions, 'log'>>(async (app, options) => {
  warnIfOpen(app.log, options)
  const parts = createBroker({ ...options, log: app.log })
  const { accessTokens } = parts
  app.decorate(kBroker, parts)
  app.decorate('oauthBroker', {
    accessTokens: { verify: (token, request) => accessTokens.verify(token, request) },
    getUpstreamAccessToken: caller => parts.getUpstreamAccessToken(caller),
    endGrantsOf: person => parts.endGrantsOf(person),
    check: () => parts.check()
  })
  app.addHook('onClose', async () => { parts.close() })
}, { name: 'fastify-mcp-oauth/broker', fastify: '5.x' })

/** Says so if anybody on earth may log in: nobody wants that without knowing. */
function warnIfOpen (log: FastifyBaseLogger, { upstream, servers, authorizeGrant }: Omit<BrokerOptions, 'log'>): void {
  const host = findOpenHost(toUpstreamSettings(upstream))
  const hasRules = servers.every(({ policy }) => policy?.hasLoginRules === true)
  if (host === undefined || hasRules || authorizeGrant !== undefined) return
  log.warn(
    { host },
    `ANYBODY CAN LOG IN: everybody can have an account at ${host}, and no rule says who may use this server. Set ` +
      'ALLOWED_EMAILS, ALLOWED_EMAIL_DOMAINS, ALLOWED_SUBJECTS, ALLOWED_GROUPS or REQUIRED_CLAIMS (docs/policy.md).'
  )
}
