import { ConfigError } from '../../errors.js'
import { isObject } from '../../members.js'
import { parseTemplate, type Template } from './templates.js'

/**
 * Bounds of the processes of one stdio server.
 * @example
 * ```ts
 * import type { StdioLimits } from 'fastify-mcp-oauth'
 *
 * export const limits: Partial<StdioLimits> = { maxProcesses: 20, maxMemoryBytes: 268_435_456 }
 * ```
 */
export interface StdioLimits {
  /** Processes in all. Default: 100. */
  maxProcesses: number
  /** Processes of one person. Default: 10. */
  maxProcessesPerPerson: number
  /** Bytes of resident memory of a process and those it has started; needs `/proc`. Default: 1 GiB. */
  maxMemoryBytes: number
  /** Time until `initialize` must be answered. Default: 60, for launchers that download first. */
  startSeconds: number
  /** Time that a process stays without anybody to serve. Default: 600; with `per: 'session'` 3600. */
  idleSeconds: number
  /** Bytes of one message of the server. Default: 10 MiB. */
  maxMessageBytes: number
  /** Bytes of messages that wait because the server does not read. Default: 16 MiB. */
  maxUnreadBytes: number
  /** Time from SIGTERM, half a second after its input has ended, to SIGKILL. Default: 3. */
  graceSeconds: number
}

/**
 * An MCP server that speaks over its standard input and output.
 * @example
 * ```ts
 * import type { StdioServerOptions } from 'fastify-mcp-oauth'
 *
 * export const notes: StdioServerOptions = {
 *   command: 'uvx',
 *   args: ['notes-server', '--user', '${claims.email}'],
 *   env: { NOTES_TOKEN: '${upstreamAccessToken}' },
 *   limits: { maxProcesses: 50 }
 * }
 * ```
 */
export interface StdioServerOptions {
  /** The program: a path, or a name that is looked up in `PATH`. No shell runs it. */
  command: string
  /** Its arguments; may have templates. */
  args?: readonly string[] | undefined
  /**
   * Its environment, besides `PATH`, `HOME` and the few others that every program needs; may have templates:
   * `${claims.email}` (any claim), `${subject}`, `${issuer}`, `${personId}` (a hash of both, safe in a file's name),
   * and `${upstreamAccessToken}`.
   */
  env?: Readonly<Record<string, string>> | undefined
  /** Names of variables of this process that it gets too. */
  inheritEnv?: readonly string[] | undefined
  /** Where it runs. With `${personId}`, the folder is made for each person. */
  cwd?: string | undefined
  /**
   * Who shares a process: all sessions of a person; one session; or everybody, which is for servers that keep nothing
   * of anybody. Default: `person`.
   */
  per?: 'person' | 'session' | 'shared' | undefined
  /** With `per: 'session'`: whether a session continues, with a new process, if its own has ended. Default: false. */
  restart?: boolean | undefined
  /**
   * Whether it learns the roots of its clients. They are folders of the client's machine: a server that takes them for
   * folders of its own opens this machine's files to callers. Default: false.
   */
  roots?: boolean | undefined
  /** Bounds of its processes, each with a default of its own. */
  limits?: Partial<StdioLimits> | undefined
}

const LIMITS: Omit<StdioLimits, 'idleSeconds'> = {
  maxProcesses: 100,
  maxProcessesPerPerson: 10,
  maxMemoryBytes: 1_073_741_824,
  startSeconds: 60,
  maxMessageBytes: 10_485_760,
  maxUnreadBytes: 16_777_216,
  graceSeconds: 3
}
const IDLE_SECONDS = { person: 600, session: 3600, shared: 600 } as const
/** What each option takes, and whether a value is that. */
const OPTIONS: Record<keyof StdioServerOptions, readonly [takes: string, check: (value: unknown) => boolean]> = {
  command: ['the name or path of a program', value => isText(value) && value !== ''],
  args: ['a list of texts', isTexts],
  env: ['texts by the names of variables', value => isObject(value) && isTexts(Object.values(value)) &&
    Object.keys(value).every(isName)],
  inheritEnv: ['a list of names of variables', value => Array.isArray(value) && value.every(isName)],
  cwd: ['the path of a folder', value => isText(value) && value !== ''],
  per: ['person, session or shared', value => isText(value) && Object.hasOwn(IDLE_SECONDS, value)],
  restart: ['true or false', value => typeof value === 'boolean'],
  roots: ['true or false', value => typeof value === 'boolean'],
  limits: ['numbers above 0 by their names', isObject]
}

/** The options of a stdio server, checked. */
export interface StdioSettings {
  command: string
  args: readonly Template[]
  env: ReadonlyArray<readonly [name: string, value: Template]>
  inheritEnv: readonly string[]
  cwd: Template | undefined
  per: 'person' | 'session' | 'shared'
  mayRestart: boolean
  passesRoots: boolean
  limits: StdioLimits
}

/** @throws {ConfigError} with one line that names the option */
export function parseStdioOptions (options: StdioServerOptions): StdioSettings {
  assertOptions(options)
  const { command, args = [], env = {}, inheritEnv = [], cwd, per = 'person', limits = {} } = options
  const settings: StdioSettings = {
    command,
    args: args.map((text, index) => parseTemplate(`args[${index}]`, text)),
    env: Object.entries(env).map(([name, text]) => [name, parseTemplate(`env.${name}`, text)] as const),
    inheritEnv,
    cwd: cwd === undefined ? undefined : parseTemplate('cwd', cwd),
    per,
    mayRestart: options.restart ?? false,
    passesRoots: options.roots ?? false,
    limits: parseLimits(limits, IDLE_SECONDS[per])
  }
  assertTemplates(settings)
  return settings
}

function assertOptions (options: StdioServerOptions): void {
  for (const name of new Set(['command', ...Object.keys(options)])) {
    if (!isOption(name)) throw wrong(name, `not an option; those that there are: ${Object.keys(OPTIONS).join(', ')}`)
    const [takes, check] = OPTIONS[name]
    const value = options[name]
    if ((value !== undefined || name === 'command') && !check(value)) throw wrong(name, `not valid; it takes ${takes}`)
  }
}

function parseLimits (limits: Partial<StdioLimits>, idleSeconds: number): StdioLimits {
  const defaults = { ...LIMITS, idleSeconds }
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(defaults, name)) throw wrong(`limits.${name}`, 'not an option')
    if (typeof value !== 'number' || !(value > 0)) throw wrong(`limits.${name}`, 'not valid; it takes a number above 0')
  }
  return { ...defaults, ...limits }
}

function assertTemplates ({ args, env, cwd, per }: StdioSettings): void {
  const templates = [...args, ...env.map(([, template]) => template), ...cwd === undefined ? [] : [cwd]]
  const personal = templates.find(template => template.names.length > 0)
  if (per === 'shared' && personal !== undefined) {
    throw wrong(personal.option, 'of one person, but the process is shared by all')
  }
  // everybody on the machine sees the arguments of every process
  if (args.some(template => template.names.includes('upstreamAccessToken'))) {
    throw wrong('args', 'seen by others on this machine: pass ${upstreamAccessToken} in env')
  }
  if (cwd?.names.some(name => name !== 'personId') === true) {
    throw wrong('cwd', 'a path, in which a value may mean another folder: use ${personId}')
  }
}

function isOption (name: string): name is keyof StdioServerOptions {
  return Object.hasOwn(OPTIONS, name)
}

function isTexts (value: unknown): boolean {
  return Array.isArray(value) && value.every(isText)
}

function isName (value: unknown): boolean {
  return isText(value) && /^[A-Za-z_]\w*$/.test(value)
}

function isText (value: unknown): value is string {
  return typeof value === 'string' && !value.includes('\0')
}

function wrong (option: string, what: string): ConfigError {
  return new ConfigError(`stdioServer: ${option} is ${what}.`)
}
