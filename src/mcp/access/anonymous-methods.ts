import { TokenRequiredError } from '../../errors.js'
import { getMember } from '../../members.js'

/**
 * What may be sent without a login: what begins a session or describes the server, lists, and what names something that
 * the policy judges. Everything else may do anything, as far as this service knows.
 */
const OPEN: ReadonlySet<unknown> = new Set([
  'initialize', 'server/discover', 'ping', 'logging/setLevel',
  'tools/list', 'resources/list', 'resources/templates/list', 'prompts/list',
  'tools/call', 'resources/read', 'prompts/get', 'completion/complete',
  'resources/subscribe', 'resources/unsubscribe', 'subscriptions/listen',
  'tasks/get', 'tasks/result', 'tasks/list', 'tasks/cancel', 'tasks/update',
  'notifications/initialized', 'notifications/cancelled', 'notifications/progress', 'notifications/roots/list_changed',
  'notifications/tasks/status'
])

/** A completion of anything else is not judged. */
const COMPLETED: ReadonlySet<unknown> = new Set(['ref/prompt', 'ref/resource'])

/**
 * Checks what was posted without a token, before anything of it is served.
 * @param body one message or a batch; what is none is refused later
 * @throws {TokenRequiredError} if any of it may be sent by nobody
 */
export function assertOpenMethods (body: unknown): void {
  for (const message of Array.isArray(body) ? body : [body]) {
    const method = getMember(message, 'method')
    if (method === undefined) continue
    const isOther = method === 'completion/complete' &&
      !COMPLETED.has(getMember(getMember(getMember(message, 'params'), 'ref'), 'type'))
    if (!OPEN.has(method) || isOther) throw new TokenRequiredError()
  }
}
