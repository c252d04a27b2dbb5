import { setTimeout as delay } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { ANYBODY, buildApp } from '../app.js'
import { demoLoginText } from '../pages/home.js'
import { clientSetups } from '../pages/client-setups.js'
import { loadConfig, type Config } from '../config/config.js'
import { addDotenv } from '../config/environment.js'
import { ConfiguredPolicies } from '../config/configured-policies.js'
import type { UpstreamConfig } from '../config/upstream.js'
import { startDemoUpstream, type DemoUpstream } from '../demo/upstream.js'
import { ConfigError } from '../errors.js'
import { listenError } from '../listen-error.js'
import type { BrokerLog } from '../log.js'
import type { CreateServer } from '../mcp/create-server.js'
import { ServiceMetrics } from '../observability/service-metrics.js'
import { ANY_TENANT } from '../oauth/upstream/tenants.js'
import { OPENID_SCOPES } from '../oauth/scopes.js'
import { openDataDirectory, type DataDirectory } from './data/data-directory.js'
import { loadHosted, type Hosted } from './servers/load-hosted.js'
import { lookAtTools } from './look-at-tools.js'
import { findNetworkFault } from './network.js'
import { surviveUnhandledRejections } from './policy.js'

// unhandled rejections must not end the process, and a failed start must not look like a clean exit
const SKIPPED: closeWithGrace.AllEvents[] = ['unhandledRejection', 'beforeExit']
// streams and connections, after the requests
const CLOSING_SECONDS = 5

const ONLY_IN_MEMORY = 'Neither DATA_DIR nor REDIS_URL keeps anything: registrations, logins and sessions are in ' +
  'this process alone. They are lost when it ends, so everybody logs in again after each restart, and a second ' +
  'replica knows none of them'

const FOR_EVERYBODY = 'OAUTH_ALLOWED_TENANTS is *: everybody with a Microsoft account may log in, and anybody can ' +
  'make one. Name the tenants whose people are to come'

/**
 * Starts the service as configured by the environment, and closes it with grace on SIGTERM and SIGINT.
 * If it cannot start, what is open already is closed.
 * @throws {ConfigError} with one line that says what the operator can fix
 */
async function start (options: ProcessOptions): Promise<void> {
  const opened: Array<{ close (): Promise<unknown> }> = []
  try {
    const configured = options.config ?? readConfig()
    const hosted = await loadHosted(configured, options.createServer)
    const { encryptionKeys, ...data } = openDataDirectory(configured)
    const config = { ...configured, encryptionKeys }
    const demo = await startDemo(config, data.demoFile)
    if (demo !== undefined) opened.unshift(demo)
    const policies = new ConfiguredPolicies(config)
    const metrics = new ServiceMetrics()
    const app = await buildApp(config, {
      upstream: config.upstream ?? demoUpstreamConfig(demo),
      metrics,
      demoLogin: demo?.issuer,
      ...hosted,
      stateFile: data.stateFile,
      policies
    })
    opened.unshift(app)
    for (const warning of [...data.notes, ...listWarnings(config, data)]) app.log.warn(warning)
    surviveUnhandledRejections({ log: app.log, onUnhandledRejection: metrics.onUnhandledRejection })
    opened.unshift(reloadOnSignal(policies, app.log), closeOnSignals(app, config, policies, demo))

    await app.listen({ port: config.port, host: config.host }).catch((error: unknown) => {
      throw listenError('The service', `HOST=${config.host} and PORT=${config.port}`, error)
    })
    // has the log say from the start what cannot be reached
    await app.inject('/readyz')
    lookAtAll(hosted, policies, app.log)
    if (!config.production) {
      process.stdout.write(welcome(config, demo))
      await noteMissingNetwork(config)
    }
  } catch (error) {
    await Promise.race([closeAll(opened), delay(CLOSING_SECONDS * 1000)])
    throw error
  }
}

/** The demo upstream, if no other is configured. */
async function startDemo (
  { upstream, demoUpstreamPort: port }: Config,
  file: string | undefined
): Promise<DemoUpstream | undefined> {
  return upstream === undefined ? await startDemoUpstream({ port, file }) : undefined
}

function listWarnings (
  { production, redisUrl, upstream }: Config,
  { stateFile }: Pick<DataDirectory, 'stateFile'>
): string[] {
  return [
    ...production && redisUrl === undefined && stateFile === undefined ? [ONLY_IN_MEMORY] : [],
    ...upstream?.allowedTenants?.includes(ANY_TENANT) === true ? [FOR_EVERYBODY] : []
  ]
}

/** Has the log say what is unusual about the tools of each server. */
function lookAtAll ({ createServer, servers }: Hosted, policies: ConfiguredPolicies, log: FastifyBaseLogger): void {
  const all = servers === undefined
    ? [...createServer === undefined ? [] : [{ create: createServer, policy: policies.common, log }]]
    : Object.entries(servers).map(([name, create]) =>
      ({ create, policy: policies.find(name), log: log.child({ server: name }) }))
  for (const { create, policy, log } of all) lookAtTools(create, ANYBODY, log, policy).catch(() => {})
}

function readConfig (): Config {
  // a hosted server has variables of its own
  addDotenv(process.env)
  return loadConfig()
}

/** @returns what removes the handlers again */
function closeOnSignals (
  app: FastifyInstance,
  { shutdownDelaySeconds, shutdownSeconds }: Config,
  policies: ConfiguredPolicies,
  demo: DemoUpstream | undefined
) {
  const options = {
    delay: (shutdownDelaySeconds + shutdownSeconds + CLOSING_SECONDS) * 1000,
    logger: app.log,
    skip: reloads(policies) ? [...SKIPPED, 'SIGHUP' as const] : SKIPPED
  }
  const { uninstall } = closeWithGrace(options, async ({ err, signal }) => {
    if (err !== undefined) app.log.fatal({ err }, 'closing after an uncaught error')
    else app.log.info({ signal }, 'closing')
    await app.leave()
    await app.close()
    await demo?.close()
  })
  return { close: async () => { uninstall() } }
}

/** SIGHUP has the policy files read again; to a process with a terminal it says that the terminal was closed. */
function reloads ({ hasFiles }: ConfiguredPolicies): boolean {
  return hasFiles && !process.stdin.isTTY
}

/** @returns what removes the handler again */
function reloadOnSignal (policies: ConfiguredPolicies, log: BrokerLog) {
  const reload = () => { policies.reload(log) }
  if (reloads(policies)) process.on('SIGHUP', reload)
  return { close: async () => { process.off('SIGHUP', reload) } }
}

/** Closes one after the other. Errors are ignored: the one that led here is reported. */
async function closeAll (opened: ReadonlyArray<{ close (): Promise<unknown> }>): Promise<void> {
  for (const one of opened) await one.close().catch(() => {})
}

function demoUpstreamConfig (demo: DemoUpstream | undefined): UpstreamConfig {
  if (demo === undefined) throw new ConfigError('No upstream is configured.')
  return {
    issuerUrl: new URL(demo.issuer),
    scopes: [...OPENID_SCOPES],
    extraAuthorizeParams: {}
  }
}

/** What a person who just started the service needs to know. */
function welcome (config: Config, demo: DemoUpstream | undefined): string {
  const { publicUrl, servers = [{ title: 'MCP server', path: '' }] } = config
  const [first = { path: '' }] = servers
  const lines = [
    ...servers.map(({ title, path }) => `${title}: ${publicUrl}${path}/mcp`),
    demo === undefined
      ? 'People log in at your authorization server.'
      : demoLoginText(demo.issuer),
    '',
    'Connect:',
    ...clientSetups(`${publicUrl}${first.path}/mcp`)
      .map(({ client, how, text }) => `  ${client}: ${how}\n      ${text}`)
  ]
  return `\n${lines.map(line => `  ${line}`).join('\n')}\n\n`
}

/** Without the internet, clients that name a metadata document cannot log in: says so, and what to do. */
async function noteMissingNetwork ({ authMode, clientMetadataDocuments, proxy }: Config): Promise<void> {
  if (authMode !== 'broker' || !clientMetadataDocuments) return
  const fault = await findNetworkFault(proxy)
  if (fault === undefined) return
  const lines = [
    `  Note: the internet cannot be reached from here (${fault}).`,
    '        Clients that name a metadata document, such as Codex and VS Code, cannot log in.',
    '        Set CLIENT_METADATA_DOCUMENTS=off, so that they register instead, or HTTPS_PROXY.'
  ]
  process.stdout.write(`${lines.join('\n')}\n\n`)
}

export interface ProcessOptions {
  /** Default: that of the environment, and `.env`. */
  config?: Config
  /** The server that is hosted. Default: the configured one, or that of `src/mcp/server.ts`. */
  createServer?: CreateServer
}

/**
 * Runs the service as this process, until a signal or an uncaught exception ends it. If it cannot start, the reason
 * goes to standard error, and the process ends with exit code 1.
 */
export function runProcess (options: ProcessOptions = {}): void {
  start(options).catch((error: unknown) => {
    // the operator can fix a bad value: one line, no stack
    const text = error instanceof ConfigError ? error.message : error instanceof Error ? error.stack : String(error)
    // setting an exit code is not enough: what could not be closed in time would keep the process alive
    process.stderr.write(`${text}\n`, () => { process.exit(1) })
  })
}
