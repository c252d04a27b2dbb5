import { InvalidTokenError } from '../../src/errors.js'
import type { HostAuthModeOptions } from '../../src/service/plugin-options.js'
import { MCP_URL, type Way } from './greedy-clients.js'
import type { GreedyPlug } from './greedy-plug.js'

/** Options of a service for greedy clients: a token is who calls, a dot, and the id of their client. */
export function greedyOptions (
  { sdk, sessionMode, reuseInstances }: Pick<Way, 'sdk' | 'sessionMode' | 'reuseInstances'>,
  plug: GreedyPlug
) {
  return {
    publicUrl: MCP_URL,
    createServer: sdk === 1 ? plug.createServer1 : plug.createServer2,
    sessionMode,
    reuseInstances,
    drainSeconds: 0.02,
    auth: {
      mode: 'host',
      authorizationServers: ['https://login.example'],
      verifyAccessToken: async token => {
        const [subject, clientId] = token.split('.')
        if (subject === undefined || clientId === undefined) throw new InvalidTokenError('The access token is unknown.')
        return { token, clientId, scopes: ['mcp'], extra: { issuer: 'https://login.example', subject } }
      }
    }
  } satisfies Omit<HostAuthModeOptions, 'stores'>
}
