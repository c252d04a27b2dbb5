import { ConfigError } from '../../../errors.js'
import { withDefaults } from '../../../members.js'
import { checkStdioServerOptions } from './check.js'
import type { StdioLimits, StdioServerOptions } from './options.js'
import { parseTemplate, type Template } from './templates.js'

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
  checkStdioServerOptions(options)
  const { command, args = [], env = {}, inheritEnv = [], cwd, per = 'person', limits } = options
  const settings: StdioSettings = {
    command,
    args: args.map((text, index) => parseTemplate(`args[${index}]`, text)),
    env: Object.entries(env).map(([name, text]) => [name, parseTemplate(`env.${name}`, text)] as const),
    inheritEnv,
    cwd: cwd === undefined ? undefined : parseTemplate('cwd', cwd),
    per,
    mayRestart: options.restart ?? false,
    passesRoots: options.roots ?? false,
    limits: withDefaults<StdioLimits>({ ...LIMITS, idleSeconds: IDLE_SECONDS[per] }, limits)
  }
  assertTemplates(settings)
  return settings
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

function wrong (option: string, what: string): ConfigError {
  return new ConfigError(`stdioServer: ${option} is ${what}.`)
}
