import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { CallerInfo } from '../auth-info.js'
import { InsufficientScopeError } from '../errors.js'
import type { PluggedServer } from './create-server.js'

// beside the servers, not in them: neither SDK has a place for it that both would share
const declared = new WeakMap<PluggedServer, ReadonlyMap<string, readonly string[]>>()

/**
 * Declares the scopes that a server's tools need. A call without them is answered 403 `insufficient_scope` before
 * anything runs, and names the scopes to ask for (step-up; MCP 2025-11-25 Authorization, Scope Challenge Handling).
 * @example requireScopes(server, { divide: ['math:divide'] })
 */
export function requireScopes (server: PluggedServer, scopesByTool: Readonly<Record<string, readonly string[]>>): void {
  declared.set(server, new Map([...declared.get(server) ?? [], ...Object.entries(scopesByTool)]))
}

/** @throws {InsufficientScopeError} where the caller lacks scopes that the requests need */
export function checkScopes (server: PluggedServer | undefined, requests: readonly JSONRPCRequest[], caller: CallerInfo): void {
  const scopesByTool = server && declared.get(server)
  if (scopesByTool === undefined) return
  const needed = requests.flatMap(({ method, params }) => method === 'tools/call' && typeof params?.name === 'string' ? scopesByTool.get(params.name) ?? [] : [])
  if (needed.some(scope => !caller.scopes.includes(scope))) throw new InsufficientScopeError([...new Set(needed)])
}
