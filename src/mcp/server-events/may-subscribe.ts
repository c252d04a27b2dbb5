import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { InvalidParamsError } from '../../errors.js'
import { isObject } from '../../members.js'

/** Whether a caller may receive the updates of a resource from the servers of all persons. */
export type MaySubscribe = (caller: CallerInfo, uri: string) => boolean | Promise<boolean>

/** The resources that a request subscribes to: `resources/subscribe`, and `subscriptions/listen` of 2026-07-28. */
export function subscribedBy ({ method, params }: JSONRPCRequest): string[] {
  if (method === 'resources/subscribe') return typeof params?.uri === 'string' ? [params.uri] : []
  const uris = method === 'subscriptions/listen' && isObject(params?.notifications)
    ? params.notifications.resourceSubscriptions
    : undefined
  return Array.isArray(uris) ? uris.filter(uri => typeof uri === 'string') : []
}

/** Finds the subscriptions that the caller may no longer have. */
export async function findRefused (
  uris: readonly string[],
  caller: CallerInfo,
  maySubscribe: MaySubscribe
): Promise<string[]> {
  const refused: string[] = []
  for (const uri of [...uris]) if (!await maySubscribe(caller, uri)) refused.push(uri)
  return refused
}

/** @throws {InvalidParamsError} for the first resource that the caller may not subscribe to */
export async function checkSubscriptions (
  requests: readonly JSONRPCRequest[],
  caller: CallerInfo,
  maySubscribe: MaySubscribe
): Promise<void> {
  for (const request of requests) {
    for (const uri of subscribedBy(request)) {
      if (!await maySubscribe(caller, uri)) {
        throw new InvalidParamsError(`Invalid params: you may not subscribe to ${uri}`, { requestId: request.id })
      }
    }
  }
}
