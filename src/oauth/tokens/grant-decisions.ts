import { AccessDeniedError } from '../../errors.js'
import type { Policy } from '../../policy/policy.js'
import type { Client } from '../client.js'
import type { AuthorizeGrant } from '../options.js'
import type { Resources } from '../resources.js'

export interface GrantDecisionsOptions {
  /** Each belongs to a server, whose policy is asked. */
  resources: Resources
  authorizeGrant: AuthorizeGrant | undefined
}

/** Who asks for what, at a login or a refresh. */
export interface GrantRequest extends Omit<Parameters<AuthorizeGrant>[0], 'client'> {
  client: Client
}

/** Whether people may log in, and stay logged in: the policy decides, then the app around this service. */
export class GrantDecisions {
  readonly #options: GrantDecisionsOptions

  constructor (options: GrantDecisionsOptions) {
    this.#options = options
  }

  /** Whether there is anything to decide about logins for a resource. */
  areNeeded (resource: string): boolean {
    return this.#options.authorizeGrant !== undefined || this.#findPolicy(resource)?.hasLoginRules === true
  }

  /** Whether a decision may depend on more than the subject. */
  needClaims (resource: string): boolean {
    return this.#options.authorizeGrant !== undefined || this.policyNeedsClaims(resource)
  }

  /** Whether a rule depends on more than the subject. */
  policyNeedsClaims (resource: string): boolean {
    return this.#findPolicy(resource)?.needsClaims === true
  }

  /**
   * Asks the policy alone, which needs nobody else.
   * @returns the scopes that the person may have, of those requested
   * @throws {AccessDeniedError} if they may not use this server
   */
  checkPolicy (
    { claims, resource, requestedScopes }: Pick<GrantRequest, 'claims' | 'resource' | 'requestedScopes'>
  ): readonly string[] {
    const server = this.#options.resources.find(resource)
    if (server === undefined) throw refused(`${resource} is no longer served here`)
    const { policy, scopes: [baseScope] } = server
    if (policy?.hasLoginRules !== true) return requestedScopes
    const decision = policy.decideLogin(claims, [...new Set([...requestedScopes, baseScope])])
    if (!decision.allow) throw refused(decision.why)
    const scopes = requestedScopes.filter(scope => decision.scopes.includes(scope))
    if (!decision.scopes.includes(baseScope)) throw refused(`${decision.why}, without the base scope ${baseScope}`)
    if (scopes.length === 0 && requestedScopes.length > 0) {
      throw refused(`${decision.why}, without any of the scopes ${requestedScopes.join(' ')}`)
    }
    return scopes
  }

  /**
   * Decides.
   * @returns the scopes that the person may have, of those requested
   * @throws {AccessDeniedError} if they may not use this server
   */
  async decide ({ client, requestedScopes, ...request }: GrantRequest): Promise<readonly string[]> {
    const { authorizeGrant } = this.#options
    const scopes = this.checkPolicy({ ...request, requestedScopes })
    if (authorizeGrant === undefined) return scopes
    const { client_name: clientName } = client.metadata
    const decision = await authorizeGrant({
      ...request,
      client: { clientId: client.clientId, ...clientName !== undefined && { clientName } },
      requestedScopes: scopes
    })
    if (!decision.allow) {
      throw new AccessDeniedError(decision.reason ?? 'You may not use this server.', {
        detail: 'refused by authorizeGrant',
        reason: 'denied_by_service'
      })
    }
    return decision.scopes === undefined ? scopes : scopes.filter(scope => decision.scopes?.includes(scope))
  }

  #findPolicy (resource: string): Policy | undefined {
    return this.#options.resources.find(resource)?.policy
  }
}

function refused (detail: string): AccessDeniedError {
  return new AccessDeniedError('This account may not use this server.', { detail, reason: 'denied_by_policy' })
}
