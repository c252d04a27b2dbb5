import { isAnonymous, type CallerInfo } from '../caller.js'
import { announceToAll } from './server-events/announcements.js'
import type { ServerContext } from './create-server.js'
import type { Log } from '../log.js'
import type { McpTransportsOptions } from './options.js'

/** The context for one server instance. @param caller returns who called last */
export function serverContext (
  { getUpstreamAccessToken, bus }: Pick<McpTransportsOptions, 'getUpstreamAccessToken' | 'bus'>,
  log: Log,
  caller: () => CallerInfo
): ServerContext {
  return {
    era: 'legacy',
    get authInfo () { return caller() },
    log,
    getUpstreamAccessToken: async () =>
      isAnonymous(caller().extra) ? undefined : await getUpstreamAccessToken?.(caller()),
    announce: event => { announceToAll(bus, log, event) }
  }
}
