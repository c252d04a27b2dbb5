import { AccessDeniedError, UpstreamError } from '../../errors.js'
import { unusable } from './upstream-errors.js'

/*
 * Microsoft Entra has login servers for the people of many tenants: common, organizations, consumers. Their metadata
 * name an issuer with a placeholder, `https://login.microsoftonline.com/{tenantid}/v2.0`; tokens have the issuer of the
 * person's own tenant, and its id in `tid`. Anybody can make a tenant, so which ones may come has to be said.
 */

/** Stands for all tenants in the list of those that are allowed. */
export const ANY_TENANT = '*'
/** What tenants may be, for error messages. */
export const TENANT = `ids of tenants such as 6f1d2c3b-4a59-4e68-8f70-1b2c3d4e5f60, or ${ANY_TENANT} for everybody`
const PLACEHOLDER = '{tenantid}'
const TENANT_ID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i
/** Microsoft's tenant of all personal accounts. */
const PERSONAL_ACCOUNTS = '9188040d-6c67-4c5b-b112-36a304b66dad'
const SHARED_PATH = /\/(common|organizations|consumers)(\/v2\.0)?\/?$/i
const METADATA_PATH = /\/\.well-known\/openid-configuration\/?$/
/** The login servers of Microsoft's clouds (the last two are former names). */
const HOSTS = [
  'login.microsoftonline.com',
  'login.microsoftonline.us',
  'login.partner.microsoftonline.cn',
  'login.windows.net',
  'login.chinacloudapi.cn'
]
/** What version 1.0 names, whatever its own host. */
const FIRST_VERSION_ISSUERS = [`https://sts.windows.net/${PLACEHOLDER}/`, `https://sts.chinacloudapi.cn/${PLACEHOLDER}/`]

/** Who issued a token. */
export interface TenantIssuer {
  /** Its `iss`, as it stands in the token. */
  iss: string
  /** The same issuer in the one spelling that names people. */
  issuer: string
  tenant: string
}

type Claims = Readonly<Record<string, unknown>>

/** Whether a text is the id of a tenant, or stands for all. */
export function isTenant (text: string): boolean {
  return text === ANY_TENANT || TENANT_ID.test(text)
}

/** Whether an issuer is none until a tenant is filled in. */
export function isTemplate (issuer: string): boolean {
  return issuer.includes(PLACEHOLDER)
}

/** An issuer with a tenant filled in, if it has a place for one. */
export function fillTenant (issuer: string, tenant: string): string {
  return issuer.replace(PLACEHOLDER, () => tenant)
}

/**
 * What is wrong with the list of tenants, in one line.
 * @param nameOf an option's name in the configuration
 */
export function findTenantsFault (
  { issuerUrl, allowedTenants = [], scopes }: {
    issuerUrl?: URL | string | undefined
    allowedTenants?: readonly string[]
    /** Absent: nobody logs in here, tokens are only verified. */
    scopes?: readonly string[]
  },
  nameOf: (option: 'issuerUrl' | 'allowedTenants' | 'scopes') => string
): string | undefined {
  const [issuer, list] = [nameOf('issuerUrl'), nameOf('allowedTenants')]
  const url = issuerUrl === undefined ? undefined : new URL(issuerUrl)
  const tenants = Tenants.find(url, allowedTenants)
  if (tenants === undefined) {
    return allowedTenants.length === 0
      ? undefined
      : `${list} is set, but ${issuer} is not that of many tenants (…/common/v2.0 or …/organizations/v2.0); ` +
        'unset the list, or name such an issuer.'
  }
  if (!tenants.isLimited) {
    return `${list} is not set, and ${issuer} (${issuerUrl}) lets in people of every tenant of Microsoft Entra; ` +
      `it takes ${TENANT}.`
  }
  if (scopes?.includes('openid') === false) {
    return `${nameOf('scopes')} lacks openid; with ${list}, the ID token says which tenant a person is of.`
  }
  return undefined
}

/** The rules of a login server for many tenants. */
export class Tenants {
  /** Where it describes itself. */
  readonly metadataUrl: URL
  /** What it names as its issuer, if it is like Entra 2.0. */
  readonly template: string
  readonly #isPersonal: boolean
  readonly #isFirstVersion: boolean
  readonly #allowed: ReadonlySet<string>

  private constructor (issuerUrl: URL, allowed: readonly string[]) {
    const [, name = '', version] = SHARED_PATH.exec(issuerUrl.pathname) ?? []
    this.#isPersonal = name.toLowerCase() === 'consumers'
    this.#isFirstVersion = version === undefined
    const path = issuerUrl.pathname.replace(/\/$/, '')
    this.metadataUrl = new URL(`${path}/.well-known/openid-configuration`, issuerUrl)
    this.template = issuerUrl.origin + path.replace(SHARED_PATH, (_, _name, rest = '') => `/${PLACEHOLDER}${rest}`)
    const those = allowed.length === 0 && this.#isPersonal ? [PERSONAL_ACCOUNTS] : allowed
    this.#allowed = new Set(those.map(tenant => tenant.toLowerCase()))
  }

  /** The rules of an issuer, if it is one for many tenants; for other hosts than Microsoft's, where a list says so. */
  static find (issuerUrl: URL | undefined, allowed: readonly string[] = []): Tenants | undefined {
    if (issuerUrl === undefined) return undefined
    const url = new URL(issuerUrl)
    url.pathname = url.pathname.replace(METADATA_PATH, '')
    const [isShared, , version] = SHARED_PATH.exec(url.pathname) ?? []
    if (isShared === undefined) return undefined
    const isMeant = version !== undefined || HOSTS.includes(url.hostname) || allowed.length > 0
    return isMeant ? new Tenants(url, allowed) : undefined
  }

  /** Whether it was said who may come. */
  get isLimited (): boolean {
    return this.#allowed.size > 0
  }

  /** Ids of those whose people may come; undefined: all. */
  get allowed (): readonly string[] | undefined {
    return this.#allowed.has(ANY_TENANT) ? undefined : [...this.#allowed]
  }

  /** Whether the metadata may name this issuer: the template, or that of the one tenant of personal accounts. */
  mayName (issuer: string): boolean {
    const templates = [this.template, ...this.#isFirstVersion ? FIRST_VERSION_ISSUERS : []].map(withoutSlash)
    return templates.some(template =>
      template === withoutSlash(issuer) ||
      (this.#isPersonal && isTemplate(template) && fillTenant(template, PERSONAL_ACCOUNTS) === withoutSlash(issuer))
    )
  }

  /** Whether people of a tenant may come. */
  allows (tenant: string): boolean {
    return this.#allowed.has(ANY_TENANT) || this.#allowed.has(tenant.toLowerCase())
  }

  /** Whether people of an issuer may come, as it was recorded when they logged in. */
  allowsIssuer (issuer: string): boolean {
    const tenant = issuer.split('/').find(part => TENANT_ID.test(part))
    return tenant !== undefined && this.allows(tenant)
  }

  /** Whether an issuer is that of some tenant. */
  isOfTenant (template: string, issuer: string): boolean {
    return issuer.split('/').some(part => TENANT_ID.test(part) && fillTenant(template, part) === issuer)
  }
}

/**
 * Who issued a token: `tid` must have the shape of an id, and `iss` must be the template with exactly that filled in.
 * Whether its tenant may come is another matter.
 * @returns what is wrong, if anything is
 */
export function readTenant (template: string, { iss, tid }: Claims): TenantIssuer | string {
  if (tid === undefined) return 'it has no tid, which names the tenant'
  if (typeof tid !== 'string' || !TENANT_ID.test(tid)) return `its tid is ${show(tid)}, and not the id of a tenant`
  const tenant = tid.toLowerCase()
  const expected = fillTenant(template, tid)
  if (iss !== expected) return `its iss is ${show(iss)}, but its tid is ${tid}: that is ${expected}`
  // a template without a place for it is that of one tenant
  if (!isTemplate(template) && !template.toLowerCase().split('/').includes(tenant)) {
    return `its tid is ${tid}, but its iss is ${template}`
  }
  return { iss, issuer: isTemplate(template) ? fillTenant(template, tenant) : template, tenant }
}

/** Why people of a tenant may not come, and what to do about it. */
export function tenantNotAllowed (tenant: string): string {
  return `the tenant ${tenant} is not in OAUTH_ALLOWED_TENANTS`
}

/**
 * Who issued an ID token.
 * @param idToken undefined: there is none
 * @throws {AccessDeniedError} if people of that tenant may not come @throws {UpstreamError} if it does not say
 */
export function identifyTenant (tenants: Tenants, template: string, idToken: Claims | undefined): TenantIssuer {
  if (idToken?.tid === undefined) {
    throw new UpstreamError('The login server did not say which organization you belong to.', {
      detail: idToken === undefined ? 'there is no ID token' : 'the ID token has no tid',
      reason: 'tenant_unknown'
    })
  }
  const found = readTenant(template, idToken)
  if (typeof found === 'string') throw unusable(`the ID token cannot be used: ${found}`)
  if (tenants.allows(found.tenant)) return found
  throw new AccessDeniedError('People of your organization may not log in here.', {
    detail: tenantNotAllowed(found.tenant),
    reason: 'tenant_not_allowed'
  })
}

function withoutSlash (issuer: string): string {
  return issuer.replace(/\/$/, '')
}

function show (value: unknown): string {
  return JSON.stringify(value)?.slice(0, 100) ?? 'absent'
}
