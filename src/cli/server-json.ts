import { parseArgs } from 'node:util'
import pino from 'pino'
import { ANYBODY } from '../app.js'
import { loadConfig, type Config } from '../config/config.js'
import { ConfigError } from '../errors.js'
import { describeServer } from '../mcp/describe-server.js'
import { loadHostedServer } from '../process/servers/load-hosted.js'
import type { Command } from './command.js'
import { toServerCard, toServerJson, type ServerFacts } from './server-json/documents.js'

const USAGE = `Usage: fastify-mcp-oauth server-json [options]

Prints the server.json with which a deployment is published in the MCP registry, made from the configuration and from
what the hosted server says of itself (serverInfo). See docs/publishing.md.

  --module FILE        the server, as for serve  [SERVER_MODULE]
  --public-url URL     the URL that clients see  [PUBLIC_URL]
  --name NAME          in the registry; default: the host of the public URL, reversed, and the server's name
  --description TEXT   at most 100 characters; default: the server's own
  --card               the MCP Server Card instead (SEP-2127)
`

const options = {
  module: { type: 'string' },
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
    const { module, 'public-url': publicUrl, name, description } = given
    const config = loadConfig({
      ...env,
      ...module !== undefined && { SERVER_MODULE: module },
      ...publicUrl !== undefined && { PUBLIC_URL: publicUrl }
    }, { dotenv: false })
    if (config.servers !== undefined) {
      throw new ConfigError('SERVERS_FILE names several servers; this describes one: name it with --module.')
    }
    const facts: ServerFacts = {
      publicUrl: publicAddress(config),
      sessionMode: config.sessionMode,
      info: (await describeServer(await loadHostedServer(config), ANYBODY, pino({ enabled: false }))).info,
      ...name !== undefined && { name },
      ...description !== undefined && { description }
    }
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

/** @throws {ConfigError} if only this machine, or nobody, can come there */
function publicAddress ({ publicUrl }: Config): string {
  if (new URL(publicUrl).protocol !== 'https:') {
    throw new ConfigError(`PUBLIC_URL is ${publicUrl}: what is published must be reachable by everybody, with https.`)
  }
  return publicUrl
}
