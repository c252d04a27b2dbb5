import { isAnonymous, personKey } from '../caller.js'
import { announceToAll } from './server-events/announcements.js'
import type { ServerContext } from './create-server.js'
import type { Log } from '../log.js'
import { instanceLog, type Served } from './instance-log.js'
import type { McpTransportsOptions } from './options.js'

/** The context for one server instance. @param served returns what is served: who called last, with which request */
export function serverContext (
  { getUpstreamAccessToken, bus }: Pick<McpTransportsOptions, 'getUpstreamAccessToken' | 'bus'>,
  log: Log,
  served: () => Served
): ServerContext {
  return {
    era: 'legacy',
    get authInfo () { return served().caller },
    log: instanceLog(log, served),
    getUpstreamAccessToken: async () => {
      const { caller } = served()
      return isAnonymous(caller.extra) ? undefined : await getUpstreamAccessToken?.(caller)
    },
    announce: (event, { toPersonOnly = false } = {}) => {
      announceToAll(bus, log, event, toPersonOnly ? personKey(served().caller.extra) : undefined)
    }
  }
}
