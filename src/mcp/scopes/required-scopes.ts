import type { JSONRPCRequest, ScopeChallengeHandler } from '@modelcontextprotocol/server'
import type { Primitive } from '../../policy/access.js'
import type { PluggedServer } from '../create-server.js'
import { DeclaredScopes, type ScopesByName, type ScopesByPrimitive } from './declared-scopes.js'
import { reachedBy } from './reached-primitives.js'
import type { SdkServer } from '../sdk-servers.js'

// kept beside the servers: the two SDKs have no common place for it
const declared = new WeakMap<object, DeclaredScopes>()

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
export function findResolver (server: SdkServer | undefined): ScopeChallengeHandler | undefined {
  return server !== undefined && 'resolveScopeChallenge' in server ? server.resolveScopeChallenge : undefined
}

/** Whether `requireScopes` was called for a server. */
export function declaresScopes (server: SdkServer | undefined): boolean {
  return server !== undefined && declared.has(server)
}

/** Whether a server's tools may need scopes. */
export function demandsScopes (server: SdkServer | undefined): boolean {
  return declaresScopes(server) || findResolver(server) !== undefined
}

/** The scopes that `requireScopes` declared for a tool. @param tool undefined: unknown; then those of all tools */
export function findToolScopes (server: SdkServer | undefined, tool: string | undefined): readonly string[] {
  const ours = server && declared.get(server)
  if (ours === undefined) return []
  return tool === undefined ? ours.allTools : ours.neededFor(toToolCall(tool))
}

/** The scopes that `requireScopes` declared for one thing; for a template, those of what it matches, too. */
export function findDeclaredScopes (
  server: SdkServer | undefined,
  { kind, name, isTemplate = false }: Primitive
): readonly string[] {
  const ours = server && declared.get(server)
  if (ours === undefined) return []
  switch (kind) {
    case 'tools': return ours.neededFor(toToolCall(name))
    case 'prompts': return ours.neededFor(toRequest('prompts/get', { name }))
    case 'resources': {
      const request = isTemplate
        ? toRequest('completion/complete', { ref: { type: 'ref/resource', uri: name } })
        : toRequest('resources/read', { uri: name })
      return findNeededScopes(server, reachedBy(request))
    }
  }
}

/** The scopes that `requireScopes` declared for requests, which are those of all that they reach. */
export function findNeededScopes (
  server: SdkServer | undefined,
  requests: readonly JSONRPCRequest[]
): readonly string[] {
  const ours = server && declared.get(server)
  return ours === undefined ? [] : requests.flatMap(request => ours.neededFor(request))
}

/** A call that asks for nothing but the scopes of its tool. */
export function toToolCall (tool: string): JSONRPCRequest {
  return toRequest('tools/call', { name: tool, arguments: {} })
}

function toRequest (method: string, params: Record<string, unknown>): JSONRPCRequest {
  return { jsonrpc: '2.0', id: 0, method, params }
}
