import { dirname, resolve } from 'node:path'
import type * as z from 'zod'
import { ConfigError } from '../../errors.js'
import { describeIssue } from '../../policy/file/describe-issue.js'
import { YamlDocument, type Path } from '../../policy/file/document.js'
import { formatPosition } from '../../policy/file/faults.js'
import { policyFileSchema } from '../../policy/file/schema.js'
import type { PolicyRules } from '../../policy/rules.js'
import { findPathOverlap, findServerFault } from '../../service/hosted-servers.js'
import { readTextFile } from '../text-file.js'
import { expandVariables } from './expand.js'
import { serversFileSchema, type FileServer } from './schema.js'
import { parseRemote, type ServerSource } from './server-source.js'

/** One of several servers that this process hosts. */
export interface ConfiguredServer {
  name: string
  path: string
  title: string
  scopes: readonly [string, ...string[]]
  source: ServerSource
  /** Rules of its own: a file, or those that stand in the file of the servers. undefined: those of the service. */
  policy: { file: string } | { rules: PolicyRules } | undefined
}

interface Context {
  file: string
  document: YamlDocument
  /** What the document says. */
  value: unknown
  scopes: readonly [string, ...string[]]
  variables: NodeJS.ProcessEnv
}

/**
 * Reads the file of several servers: JSON as MCP clients have it (or YAML), with members of our own. Those that are
 * disabled are left out.
 * @param scopes of the servers that name none
 * @param variables that its texts may refer to
 * @throws {ConfigError} in one line, with the file, line and column
 */
export function readServersFile (
  file: string,
  scopes: readonly [string, ...string[]],
  variables: NodeJS.ProcessEnv
): readonly ConfiguredServer[] {
  const document = new YamlDocument(readTextFile('SERVERS_FILE', file))
  const [fault] = document.faults
  if (fault !== undefined) throw new ConfigError(`${formatPosition(file, fault.at)}: ${fault.says}`)
  const value = document.toValue()
  const context = { file, document, value, scopes, variables }
  const { mcpServers, servers } = parse(serversFileSchema, value, [], context)
  const [key, found] = mcpServers === undefined ? ['servers', servers] as const : ['mcpServers', mcpServers] as const
  if (found === undefined) throw failure(context, [], 'the file has no servers; it takes an object with mcpServers')
  const enabled = Object.entries(found).filter(([, { disabled }]) => disabled !== true)
  if (enabled.length === 0) throw failure(context, [key], 'every server is disabled')
  const configured = enabled.map(([name, server]) => toServer([key, name], name, server, context))
  const overlap = findPathOverlap(configured)
  if (overlap !== undefined) throw failure(context, [key, overlap.name, 'path'], `${overlap.name} ${overlap.fault}`)
  return configured
}

function toServer (at: Path, name: string, server: FileServer, context: Context): ConfiguredServer {
  const { path = `/${name}`, title = name, policy } = server
  const fault = findServerFault(name, path)
  if (fault !== undefined) throw failure(context, server.path === undefined ? at : [...at, 'path'], `${name} ${fault}`)
  const [first = context.scopes[0], ...others] = server.scopes ?? context.scopes
  const scopes: [string, ...string[]] = [first, ...others]
  return {
    name,
    path,
    title,
    scopes,
    source: toSource(at, name, server, context),
    policy: policy === undefined ? undefined : toPolicy([...at, 'policy'], policy, scopes, context)
  }
}

function toPolicy (
  at: Path,
  policy: string | Record<string, unknown>,
  scopes: readonly string[],
  context: Context
): NonNullable<ConfiguredServer['policy']> {
  if (typeof policy === 'string') return { file: fromFile(context.file, policy) }
  return { rules: parse(policyFileSchema(scopes), policy, at, context) }
}

function toSource (at: Path, name: string, server: FileServer, context: Context): ServerSource {
  const kind = findKind(at, name, server, context)
  const setting = `${formatPosition(context.file, context.document.locate([...at, kind]))}: ${name}.${kind}`
  const expand = (member: Path, text: string) => expandAt([...at, ...member], text, context)
  const { command = '', url = '', module = '', type, cwd } = server
  if (kind === 'module') return { kind, setting, file: fromFile(context.file, expand(['module'], module)) }
  if (kind === 'url') {
    return parseRemote(setting, expand(['url'], url), {
      headers: expandAll(server.headers, header => ['headers', header], expand),
      ...type === 'sse' && { transport: 'sse' },
      ...server.auth !== undefined && { auth: expandAuth(server.auth, expand) }
    })
  }
  return {
    kind: 'stdio',
    setting,
    command: expand(['command'], command),
    args: (server.args ?? []).map((arg, index) => expand(['args', index], arg)),
    env: expandAll(server.env, variable => ['env', variable], expand),
    inheritEnv: server.inheritEnv ?? [],
    ...cwd !== undefined && { cwd: fromFile(context.file, expand(['cwd'], cwd)) },
    ...server.roots !== undefined && { roots: server.roots },
    per: toProcessPer(server.share)
  }
}

const KINDS = ['command', 'url', 'module'] as const

function findKind (at: Path, name: string, server: FileServer, context: Context): typeof KINDS[number] {
  const kinds = KINDS.filter(kind => server[kind] !== undefined)
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) {
    const has = kind === undefined ? 'lacks a server' : `has ${kinds.join(' and ')}`
    throw failure(context, at, `${name} ${has}; it takes one of ${KINDS.join(', ')}`)
  }
  const { type } = server
  if (type !== undefined && (type === 'stdio') !== (kind === 'command')) {
    throw failure(context, [...at, 'type'], `${name} has the type ${type}, but ${kind}`)
  }
  return kind
}

function expandAuth (
  auth: NonNullable<FileServer['auth']>,
  expand: (at: Path, text: string) => string
): NonNullable<FileServer['auth']> {
  if (auth === 'upstream-token') return auth
  const { tokenExchange } = auth
  const clientSecret = expand(['auth', 'tokenExchange', 'clientSecret'], tokenExchange.clientSecret)
  return { tokenExchange: { ...tokenExchange, clientSecret } }
}

function toProcessPer (share: FileServer['share'] = false): 'person' | 'session' | 'shared' {
  if (typeof share === 'string') return share
  return share ? 'shared' : 'person'
}

function expandAll (
  texts: Readonly<Record<string, string>> = {},
  toPath: (name: string) => Path,
  expand: (at: Path, text: string) => string
): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, expand(toPath(name), text)]))
}

function expandAt (at: Path, text: string, context: Context): string {
  try {
    return expandVariables(text, context.variables)
  } catch (error) {
    const says = error instanceof Error ? error.message : String(error)
    throw failure(context, at, `${at.slice(1).join('.')} ${says}`)
  }
}

/** Paths in the file start where the file is. */
function fromFile (file: string, path: string): string {
  return resolve(dirname(file), path)
}

function parse<S extends z.ZodType> (schema: S, value: unknown, at: Path, context: Context): z.infer<S> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [fault] = parsed.error.issues.flatMap(issue =>
    describeIssue({ ...issue, path: [...at, ...issue.path] }, context.value))
  throw fault === undefined ? parsed.error : failure(context, fault.path, fault.says)
}

function failure ({ file, document }: Context, at: Path, says: string): ConfigError {
  return new ConfigError(`${formatPosition(file, document.locate(at))}: ${says}`)
}
