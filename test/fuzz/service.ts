import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { buildApp, type BuildAppOptions } from '../../src/app.js'
import { loadConfig, type Config } from '../../src/config/config.js'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { openDatabase } from '../../src/stores/sqlite/database/open.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { runnable } from '../support/root.js'
import { QUIET } from '../support/service.js'
import { hostedServers } from './hosted-servers.js'
import { PLACES, type PlacedServer } from './places.js'

/** How a service is configured that is fuzzed. */
export interface WorldOptions {
  name: string
  sessionMode: 'stateful' | 'stateless'
  server: PlacedServer
  authMode: 'broker' | 'resource-server'
  /** Whether it is one of several servers of a process. */
  several: boolean
  /** Absent: memory, or the file. */
  redisUrl?: string | undefined
  /** The file of a store of SQLite. */
  stateFile?: string | undefined
}

export const SERVICE_SECRET = 'the-secret-of-a-service'
export const ADMIN_TOKEN = 'the-token-of-operators'
export const METRICS_TOKEN = 'the-token-of-prometheus'
const KEYS = `k:${Buffer.alloc(32, 7).toString('base64url')}`

// so small that bounds are reached, and what they bound does not look like a leak
const environmentOf = ({ name, sessionMode, authMode, redisUrl }: WorldOptions): NodeJS.ProcessEnv => ({
  ...QUIET,
  LOG_LEVEL: 'error',
  SHUTDOWN_SECONDS: '1',
  SESSION_MODE: sessionMode,
  AUTH_MODE: authMode,
  ADMIN_TOKEN,
  METRICS_TOKEN,
  INTROSPECTION_SERVICES: `service:${SERVICE_SECRET}`,
  MCP_SCOPES: 'mcp more',
  OAUTH_REQUESTS_PER_MINUTE: '1000000',
  RATE_LIMIT_TOOL_CALLS_PER_MINUTE: '0',
  STREAM_AFTER_MS: '50',
  SESSIONS_PER_OWNER: '20',
  SESSIONS_PER_PERSON: '30',
  MAX_SESSIONS: '200',
  MAX_LIVE_INSTANCES: '60',
  INSTANCES_PER_PERSON: '50',
  MAX_SUSPENDED_CALLS: '20',
  SUSPENDED_CALLS_PER_PERSON: '10',
  INSTANCE_IDLE_SECONDS: '5',
  MAX_BODY_BYTES: '262144',
  EVENT_LOG_BYTES: '2000000',
  EVENT_LOG_SECONDS: '20',
  ...(redisUrl !== undefined && {
    REDIS_URL: redisUrl,
    REDIS_KEY_PREFIX: `fuzz-${name.replace(/\W/g, '-')}`,
    ENCRYPTION_KEYS: KEYS
  })
})

/** A service that is fuzzed. */
export interface Fuzzed {
  app: FastifyInstance
  config: Config
  upstream: ScriptableUpstream
  /** What it said in its log that it should not have to. */
  errors: string[]
}

export async function startFuzzed (options: WorldOptions): Promise<Fuzzed> {
  const upstream = new ScriptableUpstream({
    metadata: { authorization_response_iss_parameter_supported: true },
    expiresIn: 86_400
  })
  const errors: string[] = []
  const environment = { ...environmentOf(options), OAUTH_ISSUER_URL: upstream.issuer }
  const config = options.several ? await configureSeveral(environment) : loadConfig(environment, { dotenv: false })
  if (config.upstream === undefined) throw new Error('There is no upstream.')
  const app = await buildApp(config, {
    upstream: { ...config.upstream, fetch: upstream.fetch },
    ...toHosted(options),
    stateFile: options.stateFile,
    logStream: { write: line => { errors.push(line) } }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, config, upstream, errors }
}

/** @throws {Error} if a file of a store is not whole */
export function checkFile (file: string): void {
  const database = openDatabase({ file })
  const problems = [
    ...database.query<{ integrity_check: string }>('PRAGMA integrity_check')().map(row => row.integrity_check),
    ...database.query('PRAGMA foreign_key_check')().map(row => JSON.stringify(row))
  ].filter(text => text !== 'ok')
  database.close()
  if (problems.length > 0) throw new Error(`${file} is damaged: ${problems.join(', ')}`)
}

function toHosted ({ several, server }: WorldOptions): Pick<BuildAppOptions, 'servers' | 'createServer'> {
  const program = stdioServer({ command: process.execPath, args: runnable('test/fuzz/program') })
  const servers = { ...hostedServers, stdio: program }
  if (!several) return { createServer: servers[server] }
  return { servers: { one: servers['SDK 1.x'], two: servers['SDK 2.x'], program } }
}

async function configureSeveral (environment: NodeJS.ProcessEnv): Promise<Config> {
  const folder = await mkdtemp(join(tmpdir(), 'fuzz-'))
  try {
    const file = join(folder, 'servers.json')
    const members = Object.values(PLACES).map(place => `"${place.slice(1)}": { "module": "of-this-process.js" }`)
    await writeFile(file, `{ "servers": { ${members.join(', ')} } }`)
    return loadConfig({ ...environment, SERVERS_FILE: file }, { dotenv: false })
  } finally {
    await rm(folder, { recursive: true })
  }
}
