import type { JSONRPCRequest, ScopeChallenge, ScopeChallengeHandler } from '@modelcontextprotocol/server'
import { isAnonymous, type CallerInfo } from '../../caller.js'
import { InsufficientScopeError, TokenRequiredError } from '../../errors.js'
import { reachedBy } from '../scopes/reached-primitives.js'
import {
  declaresScopes,
  findNeededScopes,
  findResolver,
  findToolScopes,
  toToolCall
} from '../scopes/required-scopes.js'
import { checkSubscriptions, subscribedBy, type MaySubscribe } from '../server-events/may-subscribe.js'
import { findTaskIds } from '../tasks/task-requests.js'
import type { SdkServer } from '../sdk-servers.js'
import type { Asking, Guard, Refusals, TaskOrigins } from './guard.js'

// RFC 6749 3.3 and RFC 6750 3
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const DESCRIPTION = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/

/** The tools that made the tasks which requests ask for; undefined: one that is not known. */
type Makers = ReadonlyArray<string | undefined>

/** What is checked. */
export interface AccessCheck extends Asking {
  caller: CallerInfo
  /** The policy; absent: everything is allowed that the scopes allow. */
  guard: Guard | undefined
  /** The resolver of the scopes that are declared in the way of SDK 2.x. Default: the server's. */
  resolve?: ScopeChallengeHandler | undefined
}

/**
 * Checks whether the caller may make all the requests: by the policy, and by the scopes that they need, however they
 * are declared.
 * @returns what the policy refuses; undefined if the caller may make all. If the resolver takes time, a promise, which
 * rejects with what this throws
 * @throws {InsufficientScopeError} @throws {TokenRequiredError} if something needs a login: then nothing may run
 */
export function checkAccessOrPromise (
  requests: readonly JSONRPCRequest[],
  { server, caller, tasks, guard, resolve = findResolver(server) }: AccessCheck
): Promise<Refusals | undefined> | Refusals | undefined {
  const judged = guard?.judge(requests, { server, caller, tasks })
  if (resolve !== undefined || declaresScopes(server)) {
    return checkDeclared(requests, judged, { server, caller, tasks, resolve })
  }
  if (judged !== undefined && judged.needed.length > 0) assertScopes(judged.needed, [], caller)
  return judged?.refusals
}

/** Checks the scopes that a server declares, with those of the policy. @param judged what the policy says */
function checkDeclared (
  requests: readonly JSONRPCRequest[],
  judged: ReturnType<Guard['judge']> | undefined,
  { server, caller, tasks, resolve }: Omit<AccessCheck, 'guard'>
): ReturnType<typeof checkAccessOrPromise> {
  const { refusals } = judged ?? {}
  const left = requests.filter(({ id }) => refusals?.has(id) !== true)
  const makers = findMakers(left, tasks)
  // the policy has judged them, but for the server's own resolver
  const reached = judged !== undefined && resolve === undefined ? [] : findReached(left, makers)
  const needed = [...judged?.needed ?? findNeededScopes(server, reached), ...findScopesOfTasks(server, makers)]
  const check = (challenges: ReadonlyArray<ScopeChallenge | undefined>) => {
    assertScopes(needed, challenges, caller)
    return refusals
  }
  const challenges = challengesOrPromise(resolve, reached, caller)
  return challenges instanceof Promise ? challenges.then(check) : check(challenges)
}

// nobody knows which of the tools made it
function findScopesOfTasks (server: SdkServer | undefined, makers: Makers): readonly string[] {
  return makers.includes(undefined) ? findToolScopes(server, undefined) : []
}

function findMakers (
  requests: readonly JSONRPCRequest[],
  tasks: TaskOrigins | undefined
): Makers {
  return tasks === undefined ? [] : requests.flatMap(findTaskIds).map(taskId => tasks.findTool(taskId))
}

function findReached (requests: readonly JSONRPCRequest[], makers: Makers): JSONRPCRequest[] {
  return [...requests.flatMap(reachedBy), ...makers.filter(tool => tool !== undefined).map(toToolCall)]
}

export interface RequestChecks extends AccessCheck {
  maySubscribe: MaySubscribe | undefined
  /** Whether a refusal may be an HTTP status: nothing else is asked for, and the response is that to the POST. */
  mayBeStatus: boolean
}

/**
 * Checks whether a caller may make requests.
 * @returns what the policy refuses, if anything; a promise of it, if that must be awaited before the server gets any:
 * it rejects with what this throws
 * @throws {InsufficientScopeError} @throws {TokenRequiredError} @throws {ForbiddenCallError}
 * @throws {InvalidParamsError} for a subscription that is not allowed
 */
export function findRefusals (
  requests: readonly JSONRPCRequest[],
  checks: RequestChecks
): Promise<Refusals | undefined> | Refusals | undefined {
  const { caller, maySubscribe, guard, mayBeStatus } = checks
  const checked = checkAccessOrPromise(requests, checks)
  const check = (found: Refusals | undefined) => {
    if (found !== undefined && mayBeStatus) guard?.assertNotForbidden(found)
    return found
  }
  const refusals = checked instanceof Promise ? checked.then(check) : check(checked)
  if (maySubscribe === undefined || !requests.some(request => subscribedBy(request).length > 0)) return refusals
  return Promise.resolve(refusals).then(async found => {
    await checkSubscriptions(requests.filter(({ id }) => found?.has(id) !== true), caller, maySubscribe)
    return found
  })
}

/** What the server's own resolver says of requests; a promise, if it takes time for one of them. */
function challengesOrPromise (
  resolve: ScopeChallengeHandler | undefined,
  reached: readonly JSONRPCRequest[],
  caller: CallerInfo
): Promise<Array<ScopeChallenge | undefined>> | Array<ScopeChallenge | undefined> {
  if (resolve === undefined) return []
  const challenges = reached.map(request => challengeOrPromise(resolve, request, caller))
  const settled = challenges.filter(isSettled)
  return settled.length < challenges.length
    ? Promise.all(challenges.map(challenge => Promise.resolve(challenge)))
    : settled
}

// any thenable takes time, also one that is not a `Promise`
function isSettled (challenge: ReturnType<ScopeChallengeHandler>): challenge is ScopeChallenge | undefined {
  return challenge === undefined || !('then' in challenge)
}

// if one throws, the promises of the other requests must still be awaited
function challengeOrPromise (
  resolve: ScopeChallengeHandler,
  request: JSONRPCRequest,
  authInfo: CallerInfo
): ReturnType<ScopeChallengeHandler> {
  try {
    return resolve({ request, authInfo })
  } catch (error) {
    return Promise.reject(error)
  }
}

function assertScopes (
  needed: readonly string[],
  challenges: ReadonlyArray<ScopeChallenge | undefined>,
  { scopes, extra }: CallerInfo
): void {
  const made = challenges.filter(challenge => challenge !== undefined)
  if (made.length === 0 && needed.every(scope => scopes.includes(scope))) return
  const challenged = made.flatMap(challenge => challenge.scopes)
  if (
    made.some(challenge => !Array.isArray(challenge.scopes) || challenge.scopes.length === 0) ||
    !challenged.every(scope => SCOPE.test(scope))
  ) {
    throw new TypeError('A scope challenge of the server names no scopes, or invalid ones.')
  }
  const description = made.find(({ errorDescription }) =>
    errorDescription !== undefined && DESCRIPTION.test(errorDescription)
  )?.errorDescription
  const required = [...new Set([...needed, ...challenged])]
  if (isAnonymous(extra)) throw new TokenRequiredError(required)
  throw new InsufficientScopeError(
    required,
    description === undefined ? {} : { description }
  )
}
