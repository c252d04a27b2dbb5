import { parseArgs } from 'node:util'
import { joinRules } from '../config/configured-policy.js'
import { parseEnvironment } from '../config/environment.js'
import { parsePolicy } from '../config/policy.js'
import { readPolicyFile } from '../config/policy-file.js'
import { parseScopes, split } from '../config/values.js'
import { ConfigError } from '../errors.js'
import { isObject } from '../members.js'
import { findDeadRules } from '../policy/dead-rules.js'
import { formatPosition, PolicyFileError } from '../policy/file/faults.js'
import type { Claims } from '../policy/people.js'
import { explain, type Sources } from './policy/explain.js'
import type { Command, CommandIo } from './command.js'

const USAGE = `Usage: fastify-mcp-oauth policy check [FILE]
       fastify-mcp-oauth policy explain --claims '{…}' [options]

check    reads the policy file, and says what is wrong with it, line by line
explain  says whether a person may log in, what they may use, and by which line of the file or which variable

  FILE            the policy file; default: POLICY_FILE
  --claims JSON   what the login server says of the person: '{"sub":"1","email":"ann@example.com","groups":["staff"]}'
  --client ID     the client that they use
  --scopes 'A B'  the scopes that the client asks for; default: the first of MCP_SCOPES
  --tool NAME     asks about one tool; exits with 1 if it may not be called

Takes the variables of the service from the environment, or from .env. Exits with 1 if the file is wrong, or the person
may not log in.
`

const options = {
  claims: { type: 'string' },
  client: { type: 'string', default: '' },
  scopes: { type: 'string' },
  tool: { type: 'string' },
  help: { type: 'boolean', default: false }
} as const

/** `fastify-mcp-oauth policy`. */
export const run: Command = async (args, io) => {
  const parsed = parse(args)
  if (parsed === undefined || parsed.values.help) {
    io.write(USAGE)
    return parsed === undefined ? 2 : 0
  }
  const { values, positionals: [command, file] } = parsed
  try {
    if (command === 'check') return check(findSources(io, file), io)
    return explainTo(values, io)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const lines = error instanceof PolicyFileError ? error.lines : [error.message]
    for (const line of lines) print(io, line)
    return 1
  }
}

interface Found extends Sources {
  scopes: readonly [string, ...string[]]
}

/** @throws {ConfigError} */
function findSources ({ env }: CommandIo, named?: string): Found {
  const environment = parseEnvironment(env, true)
  const scopes = parseScopes(environment.MCP_SCOPES)
  const path = named ?? environment.POLICY_FILE
  const file = path === undefined ? undefined : readPolicyFile(path, scopes)
  const rules = parsePolicy(environment)
  return { rules: joinRules(rules, file?.rules ?? {}), environment: rules, file, scopes }
}

function check ({ rules, file, scopes }: Found, io: CommandIo): number {
  if (file === undefined) {
    print(io, 'POLICY_FILE is not set; name the file.')
    return 2
  }
  for (const { at, says } of findDeadRules(rules, scopes)) {
    print(io, `${formatPosition(file.name, file.locate(at))}: warning: ${says}`)
  }
  print(io, `${file.name}: the policy file is valid`)
  return 0
}

type Values = NonNullable<ReturnType<typeof parse>>['values']

function explainTo ({ claims: json = '', client, scopes: asked, tool }: Values, io: CommandIo): number {
  const claims = parseClaims(json)
  if (claims === undefined) {
    print(io, '--claims takes a JSON object, such as \'{"sub":"1","email":"ann@example.com","email_verified":true}\'')
    return 2
  }
  const sources = findSources(io)
  const scopes = asked === undefined ? [sources.scopes[0]] : split(asked, ' ')
  const { allowed, lines } = explain(sources, {
    claims,
    clientId: client,
    scopes,
    baseScope: sources.scopes[0],
    tool
  })
  for (const line of lines) print(io, line)
  return allowed ? 0 : 1
}

function parse (args: string[]) {
  try {
    const parsed = parseArgs({ args, options, allowPositionals: true })
    const { values, positionals: [command = '', ...others] } = parsed
    const fits = (command === 'check' && others.length <= 1) ||
      (command === 'explain' && others.length === 0 && values.claims !== undefined)
    return fits || values.help ? parsed : undefined
  } catch {
    return undefined
  }
}

function parseClaims (json: string): Claims | undefined {
  try {
    const claims: unknown = JSON.parse(json)
    return isObject(claims) ? claims : undefined
  } catch {
    return undefined
  }
}

// what the file or the claims say must not steer the terminal
function print ({ write }: CommandIo, line: string): void {
  write(`${line.replace(/\p{Cc}/gu, '')}\n`)
}
