import type { CallerInfo } from '../caller.js'
import { AccessTokens } from './tokens/access-tokens.js'
import { AttemptRecorder } from './login-attempts/recorder.js'
import { makeReport, type AttemptsReport } from './login-attempts/report.js'
import { Authorization } from './authorize/authorization.js'
import { AuthorizationCodes } from './authorize/authorization-codes.js'
import { BrowserStates } from './authorize/browser-state.js'
import { Clients } from './clients/clients.js'
import { Connections } from './connections/connections.js'
import { ConsentForms } from './authorize/consent-forms.js'
import { Consents } from './authorize/consents.js'
import { combineObservers } from './login-events.js'
import { Grants } from './tokens/grants.js'
import { defaultRedirectSchemes } from './clients/redirect-schemes.js'
import { LoginLeg } from './authorize/login-leg.js'
import { defaultLifetimes, parseUpstreamUrls, type BrokerOptions } from './options.js'
import { RateLimits } from './rate-limits.js'
import { RecognisedSecrets } from './tokens/recognised-secrets.js'
import { Resources } from './resources.js'
import { ownClient, SignIns } from './connections/sign-ins.js'
import { TokenIssuer } from './tokens/token-issuer.js'
import { Upstream } from './upstream/upstream.js'
import { UpstreamClients } from './upstream/upstream-clients.js'

/** The authorization server that brokers to the upstream: its rules, without HTTP. */
export interface Broker {
  readonly clients: Clients
  readonly authorization: Authorization
  readonly tokens: TokenIssuer
  readonly connections: Connections
  readonly consents: Consents
  readonly signIns: SignIns
  readonly accessTokens: AccessTokens
  readonly browserStates: BrowserStates
  readonly resources: Resources
  /** What callers may ask of its endpoints, counted with all replicas. */
  readonly limits: RateLimits
  /** How the last logins went; absent where nobody may ask. */
  readonly attempts: Attempts | undefined
  /** The caller's access token upstream; undefined where there is none that works. */
  getUpstreamAccessToken (caller: CallerInfo): Promise<string | undefined>
  /** Rejects where the upstream cannot be reached. */
  check (): Promise<void>
  /** Lets go of timers and subscriptions. */
  close (): void
}

/** The record of logins, for operators. */
export interface Attempts extends Pick<AttemptRecorder, 'visit'> {
  report (): Promise<AttemptsReport>
}

const REAP_MS = 60_000

/** Puts the broker together. */
export function createBroker (options: BrokerOptions): Broker {
  const {
    issuer,
    stores,
    keyring,
    log,
    scopes,
    requestsPerMinute: unknownPerMinute = 300,
    consentInDynamicMode = true,
    consentDelayMs = 0,
    authorizeGrant = () => ({ allow: true }),
    upstreamObserver
  } = options
  const lifetimes = { ...defaultLifetimes, ...options.lifetimes }
  const { unusedClientSeconds } = lifetimes
  // a client must be known as long as its refresh token is good
  const clientSeconds = Math.max(lifetimes.clientSeconds, lifetimes.refreshTokenSeconds + 7 * 86_400)
  const now = Date.now
  const recorder = options.recordAttempts === true ? new AttemptRecorder({ ...stores, log, now }) : undefined
  const observe = combineObservers(
    [...options.observers ?? [], ...recorder === undefined ? [] : [recorder.observe]],
    log
  )
  const { leases, bus } = stores
  const recognised = new RecognisedSecrets(keyring)
  const limits = new RateLimits({ secret: keyring.derive('rate limits')[0], shared: stores.rates, now })

  const resources = new Resources(issuer, options.resourcePaths)
  const browserStates = new BrowserStates(keyring)
  const upstream = new Upstream(parseUpstreamUrls(options.upstream), `${issuer}/oauth/callback`, now, upstreamObserver)
  const clients = new Clients({
    store: stores.clients,
    redirectSchemes: options.redirectSchemes ?? defaultRedirectSchemes,
    preregistered: [...options.clients ?? [], ownClient(issuer)],
    unusedClientSeconds,
    clientSeconds,
    documents: { allowLoopback: options.allowLoopbackClients ?? false, store: stores.metadataDocuments },
    observe,
    now
  })
  const upstreamClients = new UpstreamClients({
    upstream,
    store: stores.upstreamClients,
    deletions: stores.upstreamDeletions,
    leases,
    keyring,
    limits,
    unusedClientSeconds,
    clientSeconds,
    log,
    now
  })
  const grants = new Grants({ store: stores.grants, leases, bus, keyring, upstream, upstreamClients, log, now })
  const accessTokens = new AccessTokens({
    store: stores.grants,
    grants,
    resources,
    bus,
    recognised,
    limits,
    unknownPerMinute,
    grantSeconds: lifetimes.grantSeconds,
    observe,
    now
  })
  const consents = new Consents({ store: stores.consents, seconds: lifetimes.consentSeconds, now })
  const authorization = new Authorization({
    issuer,
    clients,
    transactions: stores.authorizations,
    forms: new ConsentForms({ keyring, seconds: lifetimes.authorizationSeconds, now }),
    consents,
    login: new LoginLeg({
      clients,
      transactions: stores.authorizations,
      upstream,
      upstreamClients,
      keyring,
      seconds: lifetimes.authorizationSeconds,
      observe
    }),
    codes: new AuthorizationCodes({ store: stores.grants, grants, authorizeGrant, lifetimes, now }),
    grants,
    upstream,
    upstreamClients,
    resources,
    keyring,
    recognised,
    scopes,
    consentInDynamicMode,
    consentDelayMs,
    lifetimes,
    log,
    observe,
    now
  })
  const tokens = new TokenIssuer({
    clients,
    upstreamClients,
    store: stores.grants,
    grants,
    resources,
    keyring,
    recognised,
    lifetimes,
    observe,
    now
  })

  const reaper = setInterval(() => {
    Promise.all([clients.reap(), upstreamClients.reap()]).catch((err: unknown) => {
      log.error({ err }, 'unused registrations could not be reaped')
    })
  }, REAP_MS).unref()

  return {
    clients,
    authorization,
    tokens,
    connections: new Connections({ store: stores.grants, grants, clients, consents }),
    consents,
    signIns: new SignIns({ issuer, tokens, store: stores.grants, keyring, now }),
    accessTokens,
    browserStates,
    resources,
    limits,
    attempts: recorder && {
      visit: visit => {
        recorder.visit(visit)
      },
      report: async () =>
        makeReport(await recorder.read(), {
          now: now(),
          publicUrl: issuer,
          loginHost: upstream.host,
          dynamic: upstreamClients.dynamic
        })
    },
    getUpstreamAccessToken: async ({ extra: { grantId } }) =>
      grantId === undefined ? undefined : await grants.upstreamAccessToken(grantId),
    check: () => upstream.check(),
    close () {
      clearInterval(reaper)
      accessTokens.close()
    }
  }
}
