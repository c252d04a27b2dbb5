import type { JSONRPCRequest, ScopeChallengeHandler } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { InvalidMessageError } from '../../errors.js'
import type { SessionRecord } from '../../stores/sessions.js'
import { checkScopesOrPromise } from '../scopes/required-scopes.js'
import type { SdkServer } from '../sdk-servers.js'
import { checkSubscriptions, subscribedBy, type MaySubscribe } from '../server-events/may-subscribe.js'
import type { OwnTasks } from '../tasks/own-tasks.js'
import type { RunningRequests } from './running-requests.js'

export interface RequestChecks {
  server: SdkServer | undefined
  tasks: OwnTasks
  resolveScopes: ScopeChallengeHandler | undefined
  maySubscribe: MaySubscribe | undefined
}

/**
 * Checks whether a caller may make requests.
 * @returns what must be awaited before the server gets them; it rejects with what this throws
 * @throws {InsufficientScopeError} @throws {InvalidParamsError} for a subscription that is not allowed
 */
export function findChecks (
  requests: readonly JSONRPCRequest[],
  caller: CallerInfo,
  { server, tasks, resolveScopes, maySubscribe }: RequestChecks
): Promise<void> | undefined {
  const scopes = checkScopesOrPromise(server, requests, caller, tasks, resolveScopes)
  if (maySubscribe === undefined || !requests.some(request => subscribedBy(request).length > 0)) return scopes
  return Promise.all([scopes, checkSubscriptions(requests, caller, maySubscribe)]).then(() => {})
}

/** @throws {InvalidMessageError} for a second `initialize`, or a request whose id is that of one that runs */
export function assertMayRun (
  requests: readonly JSONRPCRequest[],
  { initializeParams, kind }: SessionRecord,
  running: Pick<RunningRequests, 'has'>
): void {
  for (const { method, id } of requests) {
    if (method === 'initialize' && (initializeParams !== undefined || kind !== 'sse')) {
      throw new InvalidMessageError('Invalid Request: the session is already initialized.')
    }
    if (running.has(id)) throw new InvalidMessageError('Invalid Request: a request with this id is still running.')
  }
}
