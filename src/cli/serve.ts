import { loadConfig } from '../config/config.js'
import { ConfigError } from '../errors.js'
import { runProcess } from '../process/run.js'
import type { Command } from './command.js'
import { parseFlags, serveFlags, type FlagVariables } from './serve/flags.js'

const USAGE = `Usage: fastify-mcp-oauth serve [options]

Serves an MCP server to every client, behind a login; without one that is named, a sample server. Without a login
server, outside production, it starts a demo login that takes any name and password.

${formatFlags()}

Each option sets the environment variable that stands behind it, and wins over it. All others, and all that is secret
(OAUTH_CLIENT_SECRET), come from the environment, or from .env: docs/configuration.md.
`

/** `fastify-mcp-oauth serve`. */
export const run: Command = async (args, { env, write }) => {
  const flags = parseFlags(args)
  if (flags === 'help') {
    write(USAGE)
    return 0
  }
  if ('wrong' in flags) {
    write(`${flags.wrong} fastify-mcp-oauth serve --help lists the options.\n`)
    return 2
  }
  const environment = { ...env, ...valuesOf(flags) }
  try {
    // .env was read already, and a flag may have unset what stands there
    const config = loadConfig(environment, { dotenv: false })
    runProcess({ config })
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const flag = findFlag(flags, error.message)
    write(`${flag === undefined ? error.message : `${flag.flag}${error.message.slice(flag.variable.length)}`}\n`)
    return flag === undefined ? 1 : 2
  }
}

function valuesOf (flags: FlagVariables): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(flags).map(([variable, set]) => [variable, set?.value]))
}

/** The flag whose value an error is about: it begins with the variable. */
function findFlag (flags: FlagVariables, message: string): { flag: string, variable: string } | undefined {
  const [variable = ''] = /^[A-Z_]+/.exec(message) ?? []
  const flag = Object.entries(flags).find(([name]) => name === variable)?.[1]?.flag
  return flag === undefined ? undefined : { flag, variable }
}

function formatFlags (): string {
  const rows = serveFlags.map(({ flag, takes, says, variable, means, isList = false }) => [
    `  --${flag}${takes === undefined ? '' : ` ${takes}`}`,
    `${says}${isList ? ' (may be repeated)' : ''}`,
    `[${variable}${means === undefined ? '' : `=${means}`}]`
  ])
  const width = Math.max(...rows.map(([left = '']) => left.length))
  return rows.map(([left = '', says, variable]) => `${left.padEnd(width)}  ${says} ${variable}`).join('\n')
}
