import { createHash } from 'node:crypto'
import type {
  JSONRPCErrorResponse,
  JSONRPCNotification,
  JSONRPCRequest,
  RequestId,
  ServerEvent
} from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { ForbiddenCallError, TokenRequiredError } from '../../errors.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { getMember } from '../../members.js'
import type { Access, Primitive, Verdict } from '../../policy/access.js'
import type { Policy } from '../../policy/policy.js'
import { findDeclaredScopes } from '../scopes/required-scopes.js'
import type { SdkServer } from '../sdk-servers.js'
import { findTaskIds } from '../tasks/task-requests.js'
import type { JsonRpcResponse } from '../wire/messages.js'
import type { Era } from '../wire/protocol-versions.js'
import { isFiltered, toListed } from './listed.js'
import { findPrimitives } from '../scopes/reached-primitives.js'
import { withSecuritySchemes } from './security-schemes.js'
import { saysUnknown, unknownResponse } from './unknown.js'

/** The responses to the requests that are refused, and never get to a server. */
export type Refusals = ReadonlyMap<RequestId, JSONRPCErrorResponse>

export interface WithBaseScopes {
  /** Scopes that every token has. */
  baseScopes?: readonly string[]
}

/** Knows which tool made a task. */
export interface TaskOrigins {
  /** @returns undefined if it is unknown */
  findTool (taskId: string): string | undefined
}

/** Who asks, and which server. */
export interface Asking {
  /** Undefined: nobody has logged in. */
  caller: CallerInfo | undefined
  /** For the scopes that it declares; undefined: they are not known yet. */
  server: SdkServer | undefined
  /** Absent: the server has no tasks that are known. */
  tasks?: TaskOrigins | undefined
}

/** The event that a list has changed. */
export type ListEvent = Exclude<ServerEvent, { uri: string }>

const LISTS: ReadonlyArray<{ member: string, kind: ListEvent['kind'] }> = [
  { member: 'tools', kind: 'tools_list_changed' },
  { member: 'prompts', kind: 'prompts_list_changed' },
  { member: 'resources', kind: 'resources_list_changed' }
]
const FORBIDDEN = 'You may not use this.'

/**
 * Asks the policy, for servers of one era: about every request before a server gets it, and about every list before its
 * client does. It is the same question, so lists and calls agree.
 */
export class Guard {
  readonly policy: Policy
  /** The lists whose changes servers announce, as the last one has said; undefined: none has yet. */
  changingLists: ReadonlyArray<ListEvent['kind']> | undefined
  readonly #era: Era
  readonly #fingerprints = new WeakMap<Access, string>()
  readonly #baseScopes: readonly string[]

  /** @param baseScopes what every token has */
  constructor (policy: Policy, era: Era, baseScopes: readonly string[] = []) {
    this.policy = policy
    this.#era = era
    this.#baseScopes = baseScopes
  }

  /**
   * The scopes that the requests need and the caller lacks, or other scopes that something of the same request needs;
   * and what is refused.
   * @throws {TokenRequiredError} if something needs a login
   */
  judge (requests: readonly JSONRPCRequest[], asking: Asking): { needed: string[], refusals: Refusals | undefined } {
    let refusals: Map<RequestId, JSONRPCErrorResponse> | undefined
    const needed: string[] = []
    let needsLogin = false
    for (const request of requests) {
      const verdicts = this.#verdicts(request, asking)
      if (verdicts.some(({ kind }) => kind === 'refused')) {
        refusals ??= new Map()
        refusals.set(request.id, this.#refusal(request))
        continue
      }
      for (const verdict of verdicts) {
        if (verdict.kind === 'login') needsLogin = true
        if (verdict.kind === 'login' || verdict.kind === 'scopes') needed.push(...verdict.scopes)
      }
    }
    if (needsLogin) throw new TokenRequiredError(needed)
    return { needed, refusals }
  }

  /** Whether a request is refused, or needs a login or more scopes, whatever scopes a server declares. */
  refuses (request: JSONRPCRequest, caller: CallerInfo | undefined): boolean {
    return this.#verdicts(request, { caller, server: undefined }).some(({ kind }) => kind !== 'allowed')
  }

  /**
   * Throws the refusal of the only request of a POST, if that is to be an HTTP status.
   * @throws {ForbiddenCallError}
   */
  assertNotForbidden (refusals: Refusals): void {
    const [requestId] = refusals.keys()
    if (this.policy.rules.refusal !== 'forbidden' || requestId === undefined) return
    throw new ForbiddenCallError(FORBIDDEN, { requestId })
  }

  /** The response of a server, without what its caller may not know of. */
  toVisible<R extends JsonRpcResponse> (request: JSONRPCRequest, response: R, asking: Asking): R | JsonRpcResponse {
    if ('result' in response && request.method === 'tasks/list') {
      return { ...response, result: this.#ownTasks(response.result, asking) }
    }
    if ('result' in response && isFiltered(request.method)) {
      const result = toListed(request, response.result, primitive => this.#isListed(primitive, asking))
      const told = request.method === 'tools/list' ? this.#withSecuritySchemes(result, asking) : result
      return told === response.result ? response : { ...response, result: told }
    }
    const { refusal = 'unknown' } = this.policy.rules
    return refusal === 'unknown' && saysUnknown(request, response) ? unknownResponse(request, this.#era) : response
  }

  /** Whether a caller may get a notification: that of a resource that has changed names the resource. */
  mayReceive ({ method, params }: Pick<JSONRPCNotification, 'method' | 'params'>, asking: Asking): boolean {
    if (method !== 'notifications/resources/updated') return true
    return typeof params?.uri === 'string' && this.mayRead(params.uri, asking)
  }

  /** Whether a caller may read a resource now. */
  mayRead (uri: string, { caller, server }: Asking): boolean {
    const primitive: Primitive = { kind: 'resources', name: uri }
    return this.#judge(this.policy.accessOf(caller), primitive, server).kind === 'allowed'
  }

  /** Whether a caller may ask for a task. */
  mayUseTask (taskId: string, { caller, server, tasks }: Asking): boolean {
    const access = this.policy.accessOf(caller)
    const tool = tasks?.findTool(taskId)
    return tool === undefined
      ? access.mayUseAll('tools')
      : this.#judge(access, { kind: 'tools', name: tool }, server).kind === 'allowed'
  }

  /** What a server says of itself, as it is initialized. */
  initialized ({ capabilities }: Record<string, unknown>): void {
    this.changingLists = LISTS.filter(({ member }) =>
      getMember(getMember(capabilities, member), 'listChanged') === true
    ).map(({ kind }) => kind)
  }

  /** The events by which a client learns that its lists have changed. */
  get listEvents (): ListEvent[] {
    return (this.changingLists ?? LISTS.map(({ kind }) => kind)).map(kind => ({ kind }))
  }

  /** Changes when what the caller may use does, but for the rules themselves. */
  fingerprintAccess (caller: CallerInfo): string {
    const access = this.policy.accessOf(caller)
    let fingerprint = this.#fingerprints.get(access)
    if (fingerprint === undefined) {
      const text = JSON.stringify([access.roles, [...caller.scopes].sort()])
      fingerprint = createHash('sha256').update(text).digest('base64url').slice(0, 22)
      this.#fingerprints.set(access, fingerprint)
    }
    return fingerprint
  }

  #ownTasks (result: Record<string, unknown>, asking: Asking): Record<string, unknown> {
    if (!Array.isArray(result.tasks)) return result
    const tasks = result.tasks.filter(task => this.mayUseTask(String(getMember(task, 'taskId')), asking))
    return { ...result, tasks }
  }

  /** Says of each tool what it takes to call it, if that differs. */
  #withSecuritySchemes (result: Record<string, unknown>, { server }: Asking): Record<string, unknown> {
    if (!this.policy.tellsApart) return result
    const nobody = this.policy.accessOf(undefined)
    return withSecuritySchemes(result, this.#baseScopes, name => this.#judge(nobody, { kind: 'tools', name }, server))
  }

  #isListed (primitive: Primitive, { caller, server }: Asking): boolean {
    return this.#judge(this.policy.accessOf(caller), primitive, server).kind !== 'refused'
  }

  #verdicts (request: JSONRPCRequest, { caller, server, tasks }: Asking): Verdict[] {
    const access = this.policy.accessOf(caller)
    const verdicts = findPrimitives(request).map(primitive => this.#judge(access, primitive, server))
    for (const taskId of findTaskIds(request)) {
      const tool = tasks?.findTool(taskId)
      if (tool !== undefined) verdicts.push(this.#judge(access, { kind: 'tools', name: tool }, server))
      else if (!access.mayUseAll('tools')) verdicts.push({ kind: 'refused', why: 'the tool of the task is unknown' })
    }
    return verdicts
  }

  #judge (access: Access, primitive: Primitive, server: SdkServer | undefined): Verdict {
    const scopes = findDeclaredScopes(server, primitive)
    return access.judge(scopes.length === 0 ? primitive : { ...primitive, scopes })
  }

  #refusal (request: JSONRPCRequest): JSONRPCErrorResponse {
    const { id } = request
    return this.policy.rules.refusal === 'forbidden'
      ? { jsonrpc: '2.0', id, error: { code: jsonRpcCodes.forbidden, message: FORBIDDEN } }
      : unknownResponse(request, this.#era)
  }
}
