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
import { findTaskIds } from '../tasks/task-requests.js'
import type { SdkServer } from '../sdk-servers.js'

// kept beside the servers: the two SDKs have no common place for it
const declared = new WeakMap<object, DeclaredScopes>()

// RFC 6749 3.3 and RFC 6750 3
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const DESCRIPTION = /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/

/**
 * Declares the scopes that a server's tools, resources and prompts need, with either SDK. The response to a request
 * without them is 403 `insufficient_scope`, before anything runs, and names the scopes to ask for (step-up; MCP
 * 2025-11-25 Authorization, Scope Challenge Handling). The scopes of a resource are those of its URI or, without any,
 * those of every template that the URI matches; a subscription needs them, too.
 * @param scopes by the name of the tool; or, with `tools`, `resources` and `prompts`, by the name or URI of each
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
 * import { requireScopes } from 'fastify-mcp-oauth'
 *
 * const server = new McpServer({ name: 'notes', version: '1.0.0' })
 * requireScopes(server, { delete_note: ['notes:write'] })
 * requireScopes(server, { resources: { 'note://{id}': ['notes:read'] }, prompts: { summarize: ['notes:read'] } })
 * ```
 */
export function requireScopes (server: PluggedServer, scopes: ScopesByName | ScopesByPrimitive): void {
  const known = declared.get(server) ?? new DeclaredScopes()
  known.add(scopes)
  declared.set(server, known)
}

/** The resolver of the scopes that a server declares in the way of SDK 2.x. */
function findResolver (server: SdkServer | undefined): ScopeChallengeHandler | undefined {
  return server !== undefined && 'resolveScopeChallenge' in server ? server.resolveScopeChallenge : undefined
}

/** Whether a server's tools may need scopes. */
export function demandsScopes (server: SdkServer | undefined): boolean {
  return server !== undefined && (declared.has(server) || findResolver(server) !== undefined)
}

/** The scopes that `requireScopes` declared for a tool. @param tool undefined: unknown; then those of all tools */
export function findToolScopes (server: SdkServer | undefined, tool: string | undefined): readonly string[] {
  const ours = server && declared.get(server)
  if (ours === undefined) return []
  return tool === undefined ? ours.allTools : ours.neededFor(toToolCall(tool))
}

/** Knows which tool made a task. */
export interface TaskOrigins {
  /** @returns undefined if it is unknown */
  findTool (taskId: string): string | undefined
}

/**
 * Checks whether the caller has the scopes that all the requests need, however they are declared.
 * @param tasks absent: the server has no tasks
 * @param resolve the resolver of the scopes that are declared in the way of SDK 2.x
 * @returns undefined if the caller has them; if the resolver takes time, a promise, which rejects with what this throws
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
  const makers = tasks === undefined ? [] : requests.flatMap(findTaskIds).map(taskId => tasks.findTool(taskId))
  const reached = [...requests.flatMap(reachedBy), ...makers.filter(tool => tool !== undefined).map(toToolCall)]
  const needed = reached.flatMap(request => ours?.neededFor(request) ?? [])
  if (makers.includes(undefined)) needed.push(...findToolScopes(server, undefined))
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
function toToolCall (tool: string): JSONRPCRequest {
  return { jsonrpc: '2.0', id: 0, method: 'tools/call', params: { name: tool, arguments: {} } }
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
    throw new TypeError('A scope challenge of the server names no scopes, or invalid ones.')
  }
  const description = made.find(({ errorDescription }) =>
    errorDescription !== undefined && DESCRIPTION.test(errorDescription)
  )?.errorDescription
  throw new InsufficientScopeError(
    [...new Set([...needed, ...challenged])],
    description === undefined ? {} : { description }
  )
}
