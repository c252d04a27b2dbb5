import { ConfigError } from '../errors.js'
import { DEFAULT_SCOPES } from '../oauth/scopes.js'
import type { ProtectedServer } from '../oauth/resources.js'
import { Policy } from '../policy/policy.js'
import type { PolicyRules } from '../policy/rules.js'
import { MCP_ENDPOINTS, protectedPaths } from './resource-paths.js'
import type { HostedServerOptions, McpDiscoveryOptions, McpServiceOptions } from './plugin-options.js'

/** An MCP server of a service, as clients find it. */
export interface ServerPlace {
  /** undefined: it is the only one, and nothing has to say which one is meant. */
  name: string | undefined
  /** From the service; empty if it is the only one. */
  path: string
  title: string | undefined
  scopes: readonly [string, ...string[]]
  policy: Policy | undefined
}

/** An MCP server of a service. */
export interface HostedServer
  extends ServerPlace, Pick<HostedServerOptions, 'createServer' | 'reuseInstances' | 'maySubscribe' | 'limits'> {}

const NAME = /^[A-Za-z0-9](?:[\w.-]{0,62}[A-Za-z0-9])?$/
const PATH = /^(?:\/[A-Za-z0-9][\w.~-]*)+$/
/** First parts of paths that are our own, whatever stands behind them. */
const OWN: ReadonlySet<string> = new Set([
  'admin',
  'authorize',
  'healthz',
  'introspect',
  'mcp',
  'messages',
  'metrics',
  'oauth',
  'openapi.json',
  'readyz',
  'register',
  'revoke',
  'sse',
  'token'
])
const NOTHING_SERVED = 'mcpService: createServer is missing; it takes a function that makes the MCP server; servers ' +
  'takes several.'
const MAX_SERVERS = 100

/**
 * What is wrong with the name of one of several servers, or its path, in a few words; undefined: nothing.
 * @param path default: the name
 */
export function findServerFault (name: string, path = `/${name}`): string | undefined {
  if (!NAME.test(name)) {
    return 'has a name that is not allowed; names have at most 64 letters, digits, -, _ and ., and begin and end ' +
      'with a letter or digit'
  }
  if (!PATH.test(path)) return `has the path ${JSON.stringify(path)}; it takes one such as /${name}`
  const [, first = ''] = path.split('/')
  return OWN.has(first.toLowerCase())
    ? `has the path ${path}, but /${first} belongs to this service; it takes another path`
    : undefined
}

/**
 * The servers of a service.
 * @param policy of those that have none of their own
 * @throws {ConfigError} with one line that names the option
 */
export function listServers (options: McpServiceOptions, policy: Policy | undefined): readonly HostedServer[] {
  const { createServer, servers = {}, reuseInstances, maySubscribe, limits } = options
  const shared = {
    ...reuseInstances !== undefined && { reuseInstances },
    ...maySubscribe && { maySubscribe },
    ...limits && { limits }
  }
  if (options.servers !== undefined && createServer !== undefined) {
    throw new ConfigError('mcpService: createServer and servers exclude each other; servers takes several.')
  }
  return listPlaces(options, policy).map(place => {
    const own: Partial<HostedServerOptions> = servers[place.name ?? ''] ?? {}
    const create = own.createServer ?? createServer
    if (create === undefined) throw new ConfigError(NOTHING_SERVED)
    return { ...shared, ...own, ...place, createServer: create }
  })
}

/**
 * The same, as far as clients are shown.
 * @throws {ConfigError} with one line that names the option
 */
export function listPlaces (
  { servers, scopes = DEFAULT_SCOPES }: Pick<McpDiscoveryOptions, 'servers' | 'scopes'>,
  policy: Policy | undefined
): readonly ServerPlace[] {
  if (servers === undefined) return [{ name: undefined, path: '', title: undefined, scopes, policy }]
  const places = Object.entries(servers).map(([name, { path = `/${name}`, title = name, ...own }]) =>
    ({ name, path, title, scopes: own.scopes ?? scopes, policy: toPolicy(own.policy) ?? policy }))
  checkServers(places)
  return places
}

/** What tokens are issued for. */
export function toProtectedServers (
  servers: readonly ServerPlace[],
  options: Pick<McpServiceOptions, 'sessionMode'>
): ProtectedServer[] {
  return servers.map(({ path, title, scopes, policy }) => ({
    paths: protectedPaths(options, path),
    scopes,
    ...title !== undefined && { title },
    ...policy && { policy }
  }))
}

function checkServers (servers: readonly ServerPlace[]): void {
  if (servers.length === 0) throw new ConfigError('mcpService: servers is empty; it takes one or more servers.')
  if (servers.length > MAX_SERVERS) {
    throw new ConfigError(`mcpService: servers has ${servers.length} servers; at most ${MAX_SERVERS} are served.`)
  }
  for (const { name = '', path } of servers) {
    const fault = findServerFault(name, path)
    if (fault !== undefined) throw new ConfigError(`mcpService: servers.${name} ${fault}.`)
  }
  const overlap = findPathOverlap(servers)
  if (overlap !== undefined) throw new ConfigError(`mcpService: servers.${overlap.name} ${overlap.fault}.`)
}

/** The first server whose path is that of another, or of one of its endpoints. */
export function findPathOverlap<N extends string | undefined> (
  servers: ReadonlyArray<{ name: N, path: string }>
): { name: N, fault: string } | undefined {
  for (const [index, { name, path }] of servers.entries()) {
    const other = servers.find((other, at) => at !== index && isAt(path, other.path))
    if (other !== undefined) return { name, fault: `has the path ${path}, which is taken by ${other.name}` }
  }
  return undefined
}

/** Whether a path is another, or its endpoints are. */
function isAt (path: string, other: string): boolean {
  return path === other || MCP_ENDPOINTS.some(endpoint => path === other + endpoint)
}

/** The policy by some rules; undefined if there are none. */
export function toPolicy (policy: PolicyRules | Policy | undefined): Policy | undefined {
  return policy === undefined || policy instanceof Policy ? policy : new Policy(policy)
}
