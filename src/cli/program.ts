import { addDotenv } from '../config/environment.js'
import { ConfigError } from '../errors.js'
import { packageVersion } from '../version.js'
import type { Command, CommandIo } from './command.js'

interface Entry {
  says: string
  load: () => Promise<{ run: Command }>
}

/** The commands of `fastify-mcp-oauth <command>`. */
const commands: Readonly<Record<string, Entry>> = {
  serve: { says: 'serves an MCP server to every client, behind a login', load: () => import('./serve.js') },
  init: { says: 'makes a small project: a server, its test, its image', load: () => import('./init.js') },
  doctor: { says: 'checks a deployment, as clients see it', load: () => import('./doctor.js') },
  'server-json': { says: 'prints what the MCP registry needs', load: () => import('./server-json.js') },
  attempts: { says: 'how the last logins went', load: () => import('./attempts.js') },
  policy: { says: 'checks the policy file, and explains what somebody may use', load: () => import('./policy.js') },
  audit: { says: 'verifies audit logs', load: () => import('./audit.js') }
}

const HELP = `Usage: fastify-mcp-oauth <command> [options]

${Object.entries(commands).map(([name, { says }]) => `  ${name.padEnd(13)}${says}\n`).join('')}
Each command explains its options with --help, and reads .env in the working directory.

  --version   the version of this package
  --help      this text
`

/** Runs the command line. @param args without the program @returns the exit code */
export async function runProgram ([name = '', ...args]: string[], { env, write }: CommandIo): Promise<number> {
  if (name === '--version' || name === '-v') {
    write(`${packageVersion()}\n`)
    return 0
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    write(HELP)
    return 0
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    write(name === '' ? HELP : `There is no command ${JSON.stringify(name)}.\n\n${HELP}`)
    return 2
  }
  try {
    addDotenv(env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    write(`${error.message}\n`)
    return 2
  }
  const { run } = await command.load()
  return await run(args, { env, write })
}
