import { parseArgs } from 'node:util'
import { loadConfig, type Config } from '../config/config.js'
import { ConfiguredPolicies } from '../config/configured-policies.js'
import { examineDeployment, examineInside, type DeploymentOptions, type InsideOptions } from '../doctor/examine.js'
import { Findings, formatFinding } from '../doctor/findings.js'
import { examinePolicy } from './policy/examine.js'
import { examineStore } from '../doctor/store.js'
import { ConfigError } from '../errors.js'
import { tokenAudiences } from '../service/resource-paths.js'
import { resourceServerOptions } from '../config/service-options.js'
import type { Command } from './command.js'

const USAGE = `Usage: fastify-mcp-oauth doctor [url] [options]

Checks a deployment from outside, as MCP clients see it. If the environment (or .env) is that of the service, it also
checks the upstream from inside. Prints what it finds and how to fix it; exits with 1 if something is broken.

  url                 the MCP endpoint; default: PUBLIC_URL/mcp, or that of each server of SERVERS_FILE
  --login             log in with a browser, to check sessions, streams and tokens too
  --origin ORIGIN     a browser origin that clients call from (may be repeated)
  --stream-seconds N  how long to watch a stream, default 20
  DOCTOR_TOKEN        (environment) an access token to call with, instead of --login
`

const options = {
  login: { type: 'boolean', default: false },
  origin: { type: 'string', multiple: true },
  'stream-seconds': { type: 'string', default: '20' },
  help: { type: 'boolean', default: false }
} as const

/** `fastify-mcp-oauth doctor`. */
export const run: Command = async (args, { env, write }) => {
  const parsed = parse(args)
  if (parsed === undefined || parsed.values.help) {
    write(USAGE)
    return parsed === undefined ? 2 : 0
  }
  const { values, positionals: [url] } = parsed
  const findings = new Findings(finding => { write(formatFinding(finding)) })
  const config = findConfig(env, findings)
  const mcpUrls = url === undefined ? listEndpoints(config) : [parseEndpoint(url)]
  if (config !== undefined) {
    await examineKept(config, findings)
    examineRules(config, findings)
  }
  const deployments = mcpUrls.map(mcpUrl => toDeployment(mcpUrl, values, env, write))
  await examineAll(config, deployments, findings, write)
  return summarize(findings, write)
}

type Values = NonNullable<ReturnType<typeof parse>>['values']

function toDeployment (
  mcpUrl: URL,
  { origin: origins = [], login, 'stream-seconds': streamSeconds }: Values,
  { DOCTOR_TOKEN: accessToken }: NodeJS.ProcessEnv,
  write: (text: string) => void
): DeploymentOptions {
  return {
    mcpUrl,
    origins,
    streamSeconds: Number(streamSeconds),
    ...accessToken !== undefined && { accessToken },
    ...login && {
      open: page => {
        write(`
Open this in a browser, and log in:
${page}

`)
      }
    }
  }
}

/** From outside; and from inside, if the configuration is the service's. */
async function examineAll (
  config: Config | undefined,
  deployments: readonly DeploymentOptions[],
  findings: Findings,
  write: (text: string) => void
): Promise<void> {
  const [first] = deployments
  for (const deployment of deployments) {
    if (deployments.length > 1) write(`\n${deployment.mcpUrl.href}\n`)
    await examineDeployment(deployment, findings)
  }
  const inside = config && toInsideOptions(config)
  if (inside !== undefined && first !== undefined) await examineInside(inside, first, findings)
}

/** The endpoints of the configured service: of several servers, one each. */
function listEndpoints (config: Config | undefined): URL[] {
  if (config === undefined) return []
  const { publicUrl, servers = [{ path: '' }] } = config
  return servers.map(({ path }) => new URL(`${publicUrl}${path}/mcp`))
}

/** @returns the exit code */
function summarize (findings: Findings, write: (text: string) => void): number {
  const count = (level: string) => findings.all.filter(finding => finding.level === level).length
  write(`\n${count('error')} broken, ${count('warning')} doubtful, ${count('ok')} fine\n`)
  return count('error') > 0 ? 1 : 0
}

function parse (args: string[]) {
  try {
    const parsed = parseArgs({ args, options, allowPositionals: true })
    const [url] = parsed.positionals
    const fits = parsed.positionals.length <= 1 && (url === undefined || URL.canParse(url)) &&
      Number(parsed.values['stream-seconds']) > 0
    return fits ? parsed : undefined
  } catch {
    return undefined
  }
}

function parseEndpoint (text: string): URL {
  const url = new URL(text)
  if (url.pathname === '/') url.pathname = '/mcp'
  return url
}

function findConfig (env: NodeJS.ProcessEnv, findings: Findings): Config | undefined {
  try {
    return loadConfig(env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    findings.fail('configuration', error.message, 'The service does not start with it.')
    return undefined
  }
}

async function examineKept (
  { production, redisUrl, redisCluster: cluster, redisKeyPrefix: keyPrefix, encryptionKeys }: Config,
  findings: Findings
): Promise<void> {
  if (redisUrl === undefined) {
    if (production) {
      findings.warn(
        'store',
        'everything is kept in memory: everybody logs in again after each restart, and a second replica knows nothing',
        'Set REDIS_URL and ENCRYPTION_KEYS.'
      )
    }
  } else await examineStore({ url: redisUrl, cluster, keyPrefix, encryptionKeys }, findings)
}

function examineRules (config: Config, findings: Findings): void {
  try {
    for (const { policy, scopes, locate } of new ConfiguredPolicies(config).list()) {
      examinePolicy(policy.rules, scopes, locate, findings)
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    findings.fail('policy', error.message, 'The service does not start with it.')
  }
}

/** Undefined if no upstream is configured here: the service is elsewhere, or uses the demo upstream. */
function toInsideOptions (config: Config): InsideOptions | undefined {
  const { publicUrl, upstream, proxy, authMode } = config
  if (upstream === undefined) return undefined
  if (authMode === 'broker') return { publicUrl, upstream, proxy }
  const resourceServer = resourceServerOptions(config, upstream)
  return {
    publicUrl,
    upstream,
    resourceServer: {
      ...resourceServer,
      audiences: [
        ...(config.servers ?? [{ path: '' }]).flatMap(({ path }) => tokenAudiences(config, publicUrl, path)),
        ...resourceServer.audiences
      ]
    }
  }
}
