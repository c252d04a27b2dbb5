import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { EnvironmentVariable } from '../../config/environment.js'
import { SOURCES } from '../../config/servers/server-source.js'

/** A flag of `serve`: another way to set one environment variable. */
export interface ServeFlag {
  flag: string
  variable: EnvironmentVariable
  /** What stands for the value in the help; absent: the flag has none. */
  takes?: string
  /** The value of the variable, if the flag has none. */
  means?: string
  /** May be repeated: the variable takes a list. */
  isList?: boolean
  says: string
}

/** Every flag. None is a secret: all users of a machine can read the arguments of its processes. */
export const serveFlags: readonly ServeFlag[] = [
  { flag: 'module', variable: 'SERVER_MODULE', takes: 'FILE', says: 'host a module that exports createServer' },
  {
    flag: 'stdio',
    variable: 'SERVER_COMMAND',
    takes: 'COMMAND',
    says: 'host a program that speaks MCP over stdin and stdout: \'uvx some-server\''
  },
  { flag: 'url', variable: 'SERVER_URL', takes: 'URL', says: 'host a server that is reached by its URL' },
  { flag: 'servers', variable: 'SERVERS_FILE', takes: 'FILE', says: 'host the mcpServers of a JSON file' },
  {
    flag: 'per-session',
    variable: 'SERVER_PROCESS',
    means: 'session',
    says: 'with --stdio: one process for each session, instead of for each person'
  },
  {
    flag: 'share',
    variable: 'SERVER_PROCESS',
    means: 'shared',
    says: 'with --stdio: one process for all, if it keeps nothing of its callers'
  },
  {
    flag: 'pass-env',
    variable: 'SERVER_ENV',
    takes: 'NAME',
    isList: true,
    says: 'with --stdio: an environment variable that the program gets'
  },
  {
    flag: 'cwd',
    variable: 'SERVER_CWD',
    takes: 'FOLDER',
    // eslint-disable-next-line no-template-curly-in-string -- a template of the hosted program
    says: 'with --stdio: where the program runs; with ${personId} in it, a folder for each person'
  },
  { flag: 'port', variable: 'PORT', takes: 'N', says: 'port to listen on' },
  { flag: 'host', variable: 'HOST', takes: 'ADDRESS', says: 'address to listen on' },
  { flag: 'public-url', variable: 'PUBLIC_URL', takes: 'URL', says: 'the URL that clients see' },
  { flag: 'provider', variable: 'OAUTH_PROVIDER', takes: 'NAME', says: 'preset of the login server' },
  { flag: 'issuer', variable: 'OAUTH_ISSUER_URL', takes: 'URL', says: 'the login server' },
  {
    flag: 'client-id',
    variable: 'OAUTH_CLIENT_ID',
    takes: 'ID',
    says: 'client registered at the login server; its secret: OAUTH_CLIENT_SECRET'
  },
  {
    flag: 'allow-email',
    variable: 'ALLOWED_EMAILS',
    takes: 'ADDRESS',
    isList: true,
    says: 'a person who may log in'
  },
  {
    flag: 'allow-email-domain',
    variable: 'ALLOWED_EMAIL_DOMAINS',
    takes: 'DOMAIN',
    isList: true,
    says: 'a domain whose people may log in'
  },
  { flag: 'allow-group', variable: 'ALLOWED_GROUPS', takes: 'GROUP', isList: true, says: 'a group that may log in' },
  { flag: 'scopes', variable: 'MCP_SCOPES', takes: 'SCOPES', says: 'our own scopes, separated by spaces' },
  { flag: 'policy', variable: 'POLICY_FILE', takes: 'FILE', says: 'who may use what, and how much' },
  {
    flag: 'data-dir',
    variable: 'DATA_DIR',
    takes: 'DIRECTORY',
    says: 'where logins and sessions are kept; memory: nowhere'
  },
  { flag: 'log-level', variable: 'LOG_LEVEL', takes: 'LEVEL', says: 'what is logged' }
]

/** What is secret comes from the environment: the flag that somebody may try, and the variable to set instead. */
const SECRETS: Readonly<Record<string, EnvironmentVariable>> = {
  'client-secret': 'OAUTH_CLIENT_SECRET',
  'client-key': 'OAUTH_CLIENT_KEY',
  'encryption-keys': 'ENCRYPTION_KEYS',
  'redis-url': 'REDIS_URL',
  'admin-token': 'ADMIN_TOKEN',
  'metrics-token': 'METRICS_TOKEN',
  'initial-access-tokens': 'INITIAL_ACCESS_TOKENS',
  'introspection-services': 'INTROSPECTION_SERVICES'
}

/** What the flags set, by variable; `undefined`: nothing, whatever the environment says. */
export type FlagVariables = Partial<Record<EnvironmentVariable, { flag: string, value: string } | undefined>>

/** @returns what the arguments set, `help`, or what is wrong with them, in one line */
export function parseFlags (args: string[]): FlagVariables | 'help' | { wrong: string } {
  const secret = findSecret(args)
  if (secret !== undefined) return { wrong: secret }
  try {
    const { values } = parseArgs({ args, options: { ...toOptions(), help: { type: 'boolean' } } })
    return values.help === true ? 'help' : toVariables(values)
  } catch (error) {
    const [first = ''] = String(error instanceof Error ? error.message : error).split(/\. |\n/)
    return { wrong: `${first.replace(/\.$/, '')}.` }
  }
}

type Values = Readonly<Record<string, string | boolean | Array<string | boolean> | undefined>>

function toVariables (values: Values): FlagVariables | { wrong: string } {
  const set: FlagVariables = {}
  for (const one of serveFlags) {
    const given = [values[one.flag] ?? []].flat()
    if (given.length === 0) continue
    const wrong = findFault(one, given, set)
    if (wrong !== undefined) return { wrong }
    set[one.variable] = { flag: `--${one.flag}`, value: one.means ?? given.join(',') }
  }
  // those that are given replace whatever the environment names
  const sources = SOURCES.flatMap(variable => set[variable]?.flag ?? [])
  if (sources.length > 1) return { wrong: `${sources.join(' and ')} exclude each other.` }
  if (sources.length === 1) for (const variable of SOURCES) set[variable] ??= undefined
  return set
}

function findFault (
  { flag, variable, isList = false }: ServeFlag,
  given: ReadonlyArray<string | boolean>,
  set: FlagVariables
): string | undefined {
  const earlier = set[variable]
  if (earlier !== undefined) return `${earlier.flag} and --${flag} exclude each other.`
  if (given.length > 1 && !isList) return `--${flag} is given ${given.length} times; it takes one value.`
  return given.includes('') ? `--${flag} is empty.` : undefined
}

function toOptions (): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(serveFlags.map(({ flag, takes }) =>
    [flag, { type: takes === undefined ? 'boolean' as const : 'string' as const, multiple: true }]))
}

function findSecret (args: readonly string[]): string | undefined {
  for (const arg of args) {
    const name = /^--([\w-]+)/.exec(arg)?.[1] ?? ''
    if (!Object.hasOwn(SECRETS, name)) continue
    return `--${name} does not exist: other users of this machine can read the arguments of a process. Set ` +
      `${SECRETS[name]} in the environment, or in .env.`
  }
  return undefined
}
