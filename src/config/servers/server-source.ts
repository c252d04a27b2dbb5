import { Type } from '@sinclair/typebox'
import { ConfigError } from '../../errors.js'
import type { RemoteServerOptions } from '../../hosted/remote/options.js'
import { isHttpUrl } from '../../validation/values.js'
import type { Environment } from '../environment.js'
import { parseJson, split } from '../values.js'
import { parseCommandLine } from './command-line.js'

/** How many processes run a hosted program. */
type ProcessPer = Environment['SERVER_PROCESS']

/** Where an MCP server comes from; `setting` says it, for errors. */
export type ServerSource =
  | { kind: 'module', setting: string, file: string }
  | {
    kind: 'stdio'
    setting: string
    command: string
    args: readonly string[]
    /** Besides the few that every program gets. */
    env: Readonly<Record<string, string>>
    /** Variables of this process that it gets too, by name. */
    inheritEnv: readonly string[]
    cwd?: string
    /** Whether it learns the roots of its clients. */
    roots?: boolean
    per: ProcessPer
  }
  | {
    kind: 'remote'
    setting: string
    url: URL
    transport: 'auto' | 'sse'
    headers: Readonly<Record<string, string>>
    auth: RemoteServerOptions['auth']
  }

/** The variables that say what is hosted, one at most. */
export const SOURCES = ['SERVER_MODULE', 'SERVER_COMMAND', 'SERVER_URL', 'SERVERS_FILE'] as const

/**
 * The one server that the environment names.
 * @param variables those that the program of SERVER_COMMAND may get
 * @returns undefined if it names none, or a file of several
 * @throws {ConfigError} with one line that names the variable
 */
export function parseServerSource (env: Environment, variables: NodeJS.ProcessEnv): ServerSource | undefined {
  const named = SOURCES.filter(name => env[name] !== undefined)
  if (named.length > 1) {
    throw new ConfigError(`${named.join(' and ')} are set; only one of them says which MCP server is hosted.`)
  }
  const { SERVER_MODULE: file, SERVER_COMMAND: command, SERVER_URL: url, SERVER_PROCESS: per } = env
  if (file !== undefined) return { kind: 'module', setting: 'SERVER_MODULE', file }
  if (command !== undefined) {
    return {
      kind: 'stdio',
      setting: 'SERVER_COMMAND',
      ...parseCommandLine('SERVER_COMMAND', command),
      env: {},
      inheritEnv: checkSet(split(env.SERVER_ENV, ','), variables),
      ...env.SERVER_CWD !== undefined && { cwd: env.SERVER_CWD },
      per
    }
  }
  if (url === undefined) return undefined
  const headers = parseJson(
    'SERVER_HEADERS',
    env.SERVER_HEADERS,
    Type.Record(Type.String(), Type.String()),
    'a JSON object of texts'
  )
  return parseRemote('SERVER_URL', url, {
    headers,
    ...env.SERVER_AUTH === 'upstream-token' && { auth: 'upstream-token' }
  })
}

/** @throws {ConfigError} with one line that begins with `name` */
export function parseRemote (
  name: string,
  text: string,
  { headers = {}, transport = 'auto', auth }: Partial<Pick<RemoteServerOptions, 'headers' | 'auth'>> & {
    transport?: 'auto' | 'sse'
  } = {}
): ServerSource {
  if (!isHttpUrl(text)) {
    throw new ConfigError(`${name} is not valid; it takes the URL of an MCP endpoint, such as http://localhost:8000/mcp.`)
  }
  return { kind: 'remote', setting: name, url: new URL(text), transport, headers, auth }
}

/** @throws {ConfigError} if one is not set: the program would fail later, and say less */
function checkSet (names: readonly string[], variables: NodeJS.ProcessEnv): readonly string[] {
  for (const name of names) {
    if (variables[name] === undefined) throw new ConfigError(`SERVER_ENV names ${name}, which is not set.`)
  }
  return names
}
