import { isAnonymous, personKey } from '../caller.js'
import { announceToAll } from './server-events/announcements.js'
import type { ServerContext } from './create-server.js'
import type { Log } from '../log.js'
import { instanceLog, type Served } from './instance-log.js'
import type { McpTransportsOptions } from './options.js'
import type { ServedRequests } from './transport/served-requests.js'

/**
 * The context for one server instance.
 * @param served returns what is served: who called last, with which request
 * @param requests those of a session, of which several may run
 */
export function serverContext (
  { getUpstreamAccessToken, bus }: Pick<McpTransportsOptions, 'getUpstreamAccessToken' | 'bus'>,
  log: Log,
  served: () => Served,
  requests?: ServedRequests
): ServerContext {
  const readServed = requests === undefined ? served : () => ({ record: served().record, ...requests.current })
  const serverLog = instanceLog(log, readServed)
  return {
    era: 'legacy',
    get authInfo () { return served().caller },
    get log () {
      if (requests !== undefined) requests.isLogged = true
      return serverLog
    },
    getUpstreamAccessToken: async () => {
      const { caller } = served()
      return isAnonymous(caller.extra) ? undefined : await getUpstreamAccessToken?.(caller)
    },
    announce: (event, { toPersonOnly = false } = {}) => {
      announceToAll(bus, log, event, toPersonOnly ? personKey(served().caller.extra) : undefined)
    }
  }
}
