import {
  type JSONRPCRequest,
  type ScopeChallenge,
  type ScopeChallengeHandler
} from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { InsufficientScopeError } from '../../errors.js'
import type { PluggedServer } from '../create-server.js'
import { DeclaredScopes, type ScopesByName, type ScopesByPrimitive } from './declared-scopes.js'
import { reachedBy } from './reached-primitives.js'
import { tasksOf } from '../tasks/task-requests.js'
import type { SdkServer } from '../sdk-servers.js'

// beside the servers, not in them: neither SDK has a place for it that both would share
const declared = new WeakMap<object, DeclaredScopes>()

// RFC 6749 3.3 and RFC 6750 3
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const DESCRIPTION = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/

/**
 * Declares the scopes that a server's tools, resources and prompts need, whatever the SDK. A request without them is answered
 * 403 `insufficient_scope` before anything runs, and names the scopes to ask for (step-up; MCP 2025-11-25 Authorization,
 * Scope Challenge Handling). The scopes of a resource are those of its URI or, where it has none of its own, of every
 * template that the URI matches; they are needed to subscribe to it, too.
 * @param scopes by the name of the tool; or, with `tools`, `resources` and `prompts`, by the name or URI of each
 * @example requireScopes(server, { divide: ['math:divide'] })
 * @example requireScopes(server, { resources: { 'note://{id}': ['notes:read'] }, prompts: { summarize: ['notes:read'] } })
 */
export function requireScopes (server: PluggedServer, scopes: ScopesByName | ScopesByPrimitive): void {
  const known = declared.get(server) ?? new DeclaredScopes()
  known.add(scopes)
  declared.set(server, known)
}

/** What declares a server's scopes the way of SDK 2.x. */
export function findResolver (server: SdkServer | undefined): ScopeChallengeHandler | undefined {
  return server !== undefined && 'resolveScopeChallenge' in server ? server.resolveScopeChallenge : undefined
}

/** Whether a server's tools may need scopes. */
export function demandsScopes (server: SdkServer | undefined): boolean {
  return server !== undefined && (declared.has(server) || findResolver(server) !== undefined)
}

/** The scopes that a tool needs by `requireScopes`. @param tool undefined: it is not known which; then those of all */
export function scopesOfTool (server: SdkServer | undefined, tool: string | undefined): readonly string[] {
  const ours = server && declared.get(server)
  if (ours === undefined) return []
  return tool === undefined ? ours.ofAllTools : ours.neededFor(callOf(tool))
}

/** Tells which tool made a task; undefined where that is not known. */
export interface TaskOrigins {
  toolOf (taskId: string): string | undefined
}

/**
 * Checks whether the caller has the scopes that all the requests need, however they are declared.
 * @param tasks absent: there are none
 * @param resolve what tells the scopes that are declared the way of SDK 2.x
 * @returns undefined where that is settled; where a server takes time to tell, a promise that rejects with what this throws
 * @throws {InsufficientScopeError}
 */
export function checkScopesOrPromise (
  server: SdkServer | undefined,
  requests: readonly JSONRPCRequest[],
  caller: CallerInfo,
  tasks?: TaskOrigins,
  resolve = findResolver(server)
): Promise<void> | undefined {
  const ours = server && declared.get(server)
  if (ours === undefined && resolve === undefined) return undefined
  const makers = tasks === undefined ? [] : requests.flatMap(tasksOf).map(taskId => tasks.toolOf(taskId))
  const reached = [...requests.flatMap(reachedBy), ...makers.filter(tool => tool !== undefined).map(callOf)]
  const needed = reached.flatMap(request => ours?.neededFor(request) ?? [])
  if (makers.includes(undefined)) needed.push(...scopesOfTool(server, undefined))
  const challenges = resolve === undefined ? [] : reached.map(request => challengeOrPromise(resolve, request, caller))
  const settled = challenges.filter(isSettled)
  if (settled.length < challenges.length) {
    return Promise.all(challenges.map(challenge => Promise.resolve(challenge))).then(all => {
      refuse(needed, all, caller)
    })
  }
  refuse(needed, settled, caller)
  return undefined
}

/** A call that asks for nothing but the scopes of its tool. */
function callOf (tool: string): JSONRPCRequest {
  return { jsonrpc: '2.0', id: 0, method: 'tools/call', params: { name: tool, arguments: {} } }
}

// any thenable takes time, whoever's promise it is
function isSettled (challenge: ReturnType<ScopeChallengeHandler>): challenge is ScopeChallenge | undefined {
  return challenge === undefined || !('then' in challenge)
}

// a handler that throws must not leave those of other requests without anybody who waits for them
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

function refuse (
  needed: readonly string[],
  challenges: ReadonlyArray<ScopeChallenge | undefined>,
  { scopes }: CallerInfo
): void {
  const made = challenges.filter(challenge => challenge !== undefined)
  if (made.length === 0 && needed.every(scope => scopes.includes(scope))) return
  const challenged = made.flatMap(challenge => challenge.scopes)
  if (
    made.some(challenge => !Array.isArray(challenge.scopes) || challenge.scopes.length === 0) ||
    !challenged.every(scope => SCOPE.test(scope))
  ) {
    throw new TypeError('A scope challenge of the server names no scopes, or what no scope can be.')
  }
  const description = made.find(({ errorDescription }) =>
    errorDescription !== undefined && DESCRIPTION.test(errorDescription)
  )?.errorDescription
  throw new InsufficientScopeError(
    [...new Set([...needed, ...challenged])],
    description === undefined ? {} : { description }
  )
}
