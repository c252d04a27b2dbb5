import type { CallerInfo } from '../caller.js'
import { withDefaults } from '../members.js'
import { AccessTokens } from './tokens/access-tokens.js'
import { AttemptRecorder } from './login-attempts/recorder.js'
import { makeReport, type AttemptsReport } from './login-attempts/report.js'
import { Authorization } from './authorize/authorization.js'
import { AuthorizationCodes } from './authorize/authorization-codes.js'
import { BrowserStates } from './authorize/browser-state.js'
import { AllowedClients } from './clients/allowed-clients.js'
import { ClientAssertions } from './clients/client-assertions.js'
import { ClientAuthentication } from './clients/client-authentication.js'
import { Clients } from './clients/clients.js'
import { Connections } from './connections/connections.js'
import { ClientRedirects } from './authorize/client-redirects.js'
import { ConsentForms } from './authorize/consent-forms.js'
import { ConsentPages } from './authorize/consent-pages.js'
import { Consents } from './authorize/consents.js'
import { combineObservers } from './login-events.js'
import { KeySets } from './client-documents/key-sets.js'
import { GrantDecisions } from './tokens/grant-decisions.js'
import { Grants } from './tokens/grants.js'
import { defaultRedirectSchemes } from './clients/redirect-schemes.js'
import { LoginLeg } from './authorize/login-leg.js'
import { defaultLifetimes, type BrokerOptions } from './options.js'
import { toUpstreamSettings } from './upstream-settings.js'
import { DEFAULT_REQUESTS_PER_MINUTE, RateLimits } from './rate-limits.js'
import { Rechecks } from './tokens/rechecks.js'
import { RecognisedSecrets } from './tokens/recognised-secrets.js'
import { Resources, type ProtectedServer } from './resources.js'
import { proxiedFetch } from '../outbound/proxied-fetch.js'
import { Proxy } from '../outbound/proxy.js'
import { ownClient, ownServer, SignIns } from './connections/sign-ins.js'
import { TokenIssuer } from './tokens/token-issuer.js'
import { Upstream } from './upstream/upstream.js'
import { UpstreamClients } from './upstream/upstream-clients.js'

/** The authorization server that brokers to the upstream: its rules, without HTTP. */
export interface Broker {
  readonly clients: Clients
  readonly authentication: ClientAuthentication
  readonly authorization: Authorization
  readonly consentPages: ConsentPages
  readonly tokens: TokenIssuer
  readonly connections: Connections
  readonly consents: Consents
  readonly signIns: SignIns
  readonly accessTokens: AccessTokens
  readonly browserStates: BrowserStates
  readonly resources: Resources
  /** Rate limits of its endpoints, counted across replicas. */
  readonly limits: RateLimits
  /** How the last logins went; absent if nobody may ask. */
  readonly attempts: Attempts | undefined
  /** The caller's access token upstream; undefined if none works. */
  getUpstreamAccessToken (caller: CallerInfo): Promise<string | undefined>
  /** Ends all grants of a person. @returns how many there were */
  endGrantsOf (person: { issuer?: string, subject: string }): Promise<number>
  /** Rejects if the upstream cannot be reached. */
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
  const { issuer, stores, keyring, log } = options
  const foundation = createFoundation(options)
  const { now, recorder, resources, limits, upstream } = foundation
  const known = createClients(options, foundation)
  const { clients, authentication, upstreamClients } = known
  const issued = createTokens(options, foundation, known)
  const { grants, accessTokens, tokens } = issued
  const consents = new Consents({ store: stores.consents, seconds: foundation.lifetimes.consentSeconds, now })

  const connections = new Connections({ store: stores.grants, grants, clients, consents })

  const reaper = setInterval(() => {
    Promise.all([clients.reap(), upstreamClients.reap()]).catch((err: unknown) => {
      log.error({ err }, 'expired registrations could not be removed')
    })
  }, REAP_MS).unref()

  return {
    clients,
    authentication,
    ...createAuthorization(options, { ...foundation, ...known, ...issued, consents }),
    tokens,
    connections,
    consents,
    signIns: new SignIns({ issuer, isOneServer: isOneServer(options), tokens, store: stores.grants, keyring, now }),
    accessTokens,
    browserStates: new BrowserStates(keyring),
    resources,
    limits,
    attempts: recorder && {
      visit: visit => { recorder.visit(visit) },
      report: async () => {
        const context = { now: now(), publicUrl: issuer, loginHost: upstream.host, dynamic: upstreamClients.dynamic }
        return makeReport(await recorder.read(), context)
      }
    },
    getUpstreamAccessToken: async ({ extra: { grantId } }) =>
      grantId === undefined ? undefined : await grants.upstreamAccessToken(grantId),
    endGrantsOf: async ({ subject, issuer }) =>
      await connections.endAll({ subject, issuer: issuer ?? await upstream.findIssuer() }),
    check: () => upstream.check(),
    close () {
      clearInterval(reaper)
      accessTokens.close()
    }
  }
}

/** Whether clients, and our own page, need not say which server they mean. */
function isOneServer ({ servers }: BrokerOptions): boolean {
  return servers.length === 1
}

/** What rules of any server look at. */
function findClaimNames (servers: readonly ProtectedServer[]): ReadonlySet<string> {
  return new Set(servers.flatMap(({ policy }) => [...policy?.claimNames ?? []]))
}

type Foundation = ReturnType<typeof createFoundation>

/** What everything else needs. */
function createFoundation (options: BrokerOptions) {
  const { issuer, stores, keyring, log, observers = [], upstreamObserver } = options
  const now = Date.now
  const proxy = options.proxy && new Proxy(options.proxy)
  const recorder = options.recordAttempts === true ? new AttemptRecorder({ ...stores, log, now }) : undefined
  return {
    now,
    recorder,
    lifetimes: withDefaults(defaultLifetimes, options.lifetimes),
    observe: combineObservers([...observers, ...recorder === undefined ? [] : [recorder.observe]], log),
    recognised: new RecognisedSecrets(keyring),
    limits: new RateLimits({ secret: keyring.derive('rate limits')[0], shared: stores.rates, now }),
    resources: new Resources(issuer, options.servers, isOneServer(options) ? [] : [ownServer(options.policy)]),
    proxy,
    upstream: new Upstream(
      toUpstreamSettings({ ...proxy && { fetch: proxiedFetch(proxy) }, ...options.upstream }),
      `${issuer}/oauth/callback`,
      now,
      upstreamObserver,
      () => findClaimNames(options.servers)
    )
  }
}

/** Our clients, and their registrations at the upstream. */
function createClients (options: BrokerOptions, { lifetimes, limits, upstream, proxy, observe, now }: Foundation) {
  const { issuer, stores, keyring, log, redirectSchemes = defaultRedirectSchemes } = options
  const { unusedClientSeconds } = lifetimes
  // a client must be known as long as its refresh token is good
  const clientSeconds = Math.max(lifetimes.clientSeconds, lifetimes.refreshTokenSeconds + 7 * 86_400)
  const fetching = { allowLoopback: options.allowLoopbackClients ?? false, proxy }
  const allowed = new AllowedClients({
    policy: options.policy,
    initialAccessTokens: options.initialAccessTokens ?? [],
    ownClientId: ownClient(issuer).clientId
  })
  const clients = new Clients({
    store: stores.clients,
    allowed,
    redirectSchemes,
    preregistered: [...options.clients ?? [], ownClient(issuer)],
    unusedClientSeconds,
    clientSeconds,
    documents: { ...fetching, store: stores.metadataDocuments, enabled: options.clientMetadataDocuments ?? true },
    observe,
    now
  })
  const keySets = new KeySets({ ...fetching, now })
  const assertions = new ClientAssertions({ issuer, keySets, leases: stores.leases, now })
  return {
    clients,
    allowed,
    authentication: new ClientAuthentication({ clients, assertions, limits }),
    upstreamClients: new UpstreamClients({
      upstream,
      store: stores.upstreamClients,
      deletions: stores.upstreamDeletions,
      leases: stores.leases,
      keyring,
      limits,
      unusedClientSeconds,
      clientSeconds,
      log,
      now
    })
  }
}

/** Grants and their tokens. */
function createTokens (options: BrokerOptions, foundation: Foundation, known: ReturnType<typeof createClients>) {
  const {
    stores: { grants: store, leases, bus },
    keyring,
    log,
    requestsPerMinute: unknownPerMinute = DEFAULT_REQUESTS_PER_MINUTE
  } = options
  const { resources, recognised, limits, lifetimes, upstream, observe, now } = foundation
  const { upstreamClients } = known
  const grants = new Grants({ store, leases, keyring, upstream, upstreamClients, observe, log, now })
  const { authorizeGrant } = options
  const decisions = new GrantDecisions({ resources, authorizeGrant })
  const rechecks = new Rechecks({ store, leases, grants, decisions, upstream, upstreamClients, observe })
  return {
    grants,
    decisions,
    accessTokens: new AccessTokens({
      store,
      grants,
      resources,
      bus,
      recognised,
      limits,
      unknownPerMinute,
      grantSeconds: lifetimes.grantSeconds,
      observe,
      now
    }),
    tokens: new TokenIssuer({
      ...known,
      store,
      grants,
      rechecks,
      resources,
      keyring,
      recognised,
      lifetimes,
      observe,
      now
    })
  }
}

interface AuthorizationParts
  extends Foundation, ReturnType<typeof createClients>, ReturnType<typeof createTokens> {
  consents: Consents
}

/** The way from `/authorize` back to the client. */
function createAuthorization (
  options: BrokerOptions,
  parts: AuthorizationParts
): Pick<Broker, 'authorization' | 'consentPages'> {
  const { issuer, stores, keyring } = options
  const { consentInDynamicMode = true, consentDelayMs: delayMs = 0 } = options
  const { lifetimes, grants, decisions, now } = parts
  const { authorizationSeconds: seconds } = lifetimes
  const common = {
    ...parts,
    keyring,
    transactions: stores.authorizations,
    codes: new AuthorizationCodes({ store: stores.grants, grants, decisions, lifetimes, now }),
    redirects: new ClientRedirects(issuer)
  }
  const login = new LoginLeg({ ...common, seconds })
  const forms = new ConsentForms({ keyring, seconds, now })
  const consentPages = new ConsentPages({ ...common, login, forms, delayMs, seconds })
  return {
    consentPages,
    authorization: new Authorization({ ...common, login, consentPages, consentInDynamicMode })
  }
}
