import { parseArgs } from 'node:util'
import pino from 'pino'
import { ANYBODY } from '../app.js'
import { loadConfig, type Config } from '../config/config.js'
import { SOURCES } from '../config/servers/server-source.js'
import type { ConfiguredServer } from '../config/servers/servers-file.js'
import { ConfigError } from '../errors.js'
import { describeServer } from '../mcp/describe-server.js'
import { loadHostedServer } from '../process/servers/load-hosted.js'
import type { Command } from './command.js'
import { toServerCard, toServerJson, type ServerFacts } from './server-json/documents.js'

const USAGE = `Usage: fastify-mcp-oauth server-json [options]

Prints the server.json with which a deployment is published in the MCP registry, made from the configuration and from
what the hosted server says of itself (serverInfo). See docs/publishing.md.

  --module FILE        the server, as for serve  [SERVER_MODULE]
  --servers FILE       several servers, as for serve  [SERVERS_FILE]
  --server NAME        which of several; each is published by a document of its own
  --public-url URL     the URL that clients see  [PUBLIC_URL]
  --name NAME          in the registry; default: the host of the public URL, reversed, and the server's name (of
                       several: the one in the file)
  --description TEXT   at most 100 characters; default: the server's own
  --card               the MCP Server Card instead (SEP-2127)
`

const options = {
  module: { type: 'string' },
  servers: { type: 'string' },
  server: { type: 'string' },
  'public-url': { type: 'string' },
  name: { type: 'string' },
  description: { type: 'string' },
  card: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false }
} as const

/** `fastify-mcp-oauth server-json`. */
export const run: Command = async (args, { env, write }) => {
  const given = parse(args)
  if (given === undefined || given.help) {
    write(USAGE)
    return given === undefined ? 2 : 0
  }
  try {
    const facts = await findFacts(given, env)
    write(`${JSON.stringify(given.card ? toServerCard(facts) : toServerJson(facts), null, 2)}\n`)
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    write(`${error.message}\n`)
    return 2
  }
}

function parse (args: string[]) {
  try {
    return parseArgs({ args, options }).values
  } catch {
    return undefined
  }
}

/** @throws {ConfigError} */
async function findFacts (given: Given, env: NodeJS.ProcessEnv): Promise<ServerFacts> {
  const { name, description } = given
  const config = loadConfig(toEnvironment(given, env), { dotenv: false })
  const publicUrl = publicAddress(config)
  const one = findServer(config, given.server)
  const createServer = await loadHostedServer({ ...config, server: one === undefined ? config.server : one.source })
  const { info } = await describeServer(createServer, ANYBODY, pino({ enabled: false }))
  return {
    publicUrl,
    path: one?.path ?? '',
    sessionMode: config.sessionMode,
    info: one === undefined ? info : { ...info, ...nameIn(one) },
    ...name !== undefined && { name },
    ...description !== undefined && { description }
  }
}

type Given = NonNullable<ReturnType<typeof parse>>

/** The environment with what the options say; one that names a server wins over whatever names one there. */
function toEnvironment ({ module, servers, 'public-url': publicUrl }: Given, env: NodeJS.ProcessEnv) {
  const named = { SERVER_MODULE: module, SERVERS_FILE: servers }
  const isNamed = module !== undefined || servers !== undefined
  return {
    ...env,
    ...isNamed && { ...Object.fromEntries(SOURCES.map(source => [source, undefined])), ...named },
    ...publicUrl !== undefined && { PUBLIC_URL: publicUrl }
  }
}

/** @returns which of several is described; undefined: there is one */
function findServer ({ servers }: Config, wanted: string | undefined): ConfiguredServer | undefined {
  if (servers === undefined) {
    if (wanted === undefined) return undefined
    throw new ConfigError('--server names one of several servers: name their file with --servers, or SERVERS_FILE.')
  }
  const [first, second] = servers
  const found = wanted === undefined && second === undefined ? first : servers.find(({ name }) => name === wanted)
  if (found !== undefined) return found
  const fault = wanted === undefined ? 'There are several servers' : `There is no server ${JSON.stringify(wanted)}`
  const names = servers.map(({ name }) => name).join(', ')
  throw new ConfigError(`${fault}, and each is published by a document of its own: name one with --server (${names}).`)
}

/** Two of several may call themselves the same. */
function nameIn ({ name, title }: ConfiguredServer): Record<string, unknown> {
  return { name, ...title !== name && { title } }
}

/** @throws {ConfigError} if only this machine, or nobody, can come there */
function publicAddress ({ publicUrl }: Config): string {
  if (new URL(publicUrl).protocol !== 'https:') {
    throw new ConfigError(`PUBLIC_URL is ${publicUrl}: what is published must be reachable by everybody, with https.`)
  }
  return publicUrl
}
