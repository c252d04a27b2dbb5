import { limitKey, personKey } from '../../caller.js'
import { SessionNotFoundError } from '../../errors.js'
import { fingerprint } from '../../fingerprint.js'
import type { CreateServer, ServerContext } from '../../mcp/create-server.js'
import { makeFolder } from './make-folder.js'
import { PipedServer } from '../piped-server.js'
import { Channel } from './channel.js'
import type { StdioServerOptions } from './options/options.js'
import { parseStdioOptions, type StdioSettings } from './options/settings.js'
import { fillTemplate, type TemplateSource } from './options/templates.js'
import { inheritedEnvironment } from './process/inherited-environment.js'
import { ServerPool } from './server-pool.js'
import type { Command } from './process/server-process.js'
import type { SharedServer } from './shared-server.js'

/**
 * Hosts an MCP server that is a program, and speaks over its standard input and output. Clients of every revision are
 * served by it; nobody's process ever serves anybody else (unless `per: 'shared'`). The processes end with the app.
 * @param options what is started, for whom, and with what bounds (docs/hosting.md)
 * @throws {ConfigError} with one line that names the option
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { mcpService, stdioServer } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const createServer = stdioServer({
 *   command: 'npx',
 *   args: ['--yes', '@modelcontextprotocol/server-memory'],
 *   cwd: '/var/lib/memory/${personId}',
 *   env: { MEMORY_FILE_PATH: '/var/lib/memory/${personId}/memory.json' }
 * })
 * await Fastify().register(mcpService, { ...options, createServer })
 * ```
 */
export function stdioServer (options: StdioServerOptions): CreateServer {
  const settings = parseStdioOptions(options)
  const pool = new ServerPool(settings)
  const createServer = (context: ServerContext) =>
    new PipedServer(sessionId => {
      const find = async (params: Record<string, unknown>, isResumed: boolean) =>
        await findServer({ settings, pool, context, sessionId, params, isResumed })
      return new Channel(find, context.log, settings.passesRoots)
    }, context.log)
  return Object.assign(createServer, {
    // of everybody it keeps nothing
    keepsSessions: settings.per !== 'shared',
    sessionEnded (sessionId: string) { pool.end(sessionKey(sessionId), 'its session has ended') },
    async close () { await pool.close() }
  })
}

interface Wanted {
  settings: StdioSettings
  pool: ServerPool
  context: ServerContext
  sessionId: string | undefined
  params: Record<string, unknown>
  isResumed: boolean
}

/** @throws {SessionNotFoundError} (rejects with it) if the process of a session has ended with what it knew */
async function findServer ({ settings, pool, context, sessionId, params, isResumed }: Wanted): Promise<SharedServer> {
  const { protocolVersion, capabilities } = params
  const { era, log, authInfo: caller } = context
  if (settings.per === 'shared') {
    const key = fingerprint(['shared', era, protocolVersion])
    return pool.obtain({ key, person: '', era, command: await makeCommand(settings, undefined), log })
  }
  const person = limitKey(personKey(caller.extra))
  if (settings.per === 'session' && era === 'legacy' && sessionId !== undefined) {
    const key = sessionKey(sessionId)
    const running = pool.find(key)
    if (running !== undefined) return running
    if (isResumed && !settings.mayRestart) {
      throw new SessionNotFoundError('Session not found: the process that it had has ended. Initialize a new one.')
    }
    return pool.obtain({ key, person, era, command: await makeCommand(settings, context), log })
  }
  const command = await makeCommand(settings, context)
  const owner = settings.per === 'session' ? sessionId : personKey(caller.extra)
  // what a client cannot do, its server must not ask of it; a program of both eras serves one of them at a time; and a
  // value that has changed needs another process
  const key = fingerprint([settings.per, owner, era, protocolVersion, capabilities, command])
  return pool.obtain({ key, person, era, command, log })
}

function sessionKey (sessionId: string): string {
  return JSON.stringify(['session', sessionId])
}

/** @param context of the person; undefined: the templates have no values of anybody */
async function makeCommand (settings: StdioSettings, context: ServerContext | undefined): Promise<Command> {
  const fill = async (template: StdioSettings['args'][number]) =>
    context === undefined ? template.texts.join('') : await fillTemplate(template, toSource(context))
  const env = inheritedEnvironment(settings.inheritEnv)
  for (const [name, template] of settings.env) env[name] = await fill(template)
  const args = await Promise.all(settings.args.map(fill))
  const cwd = settings.cwd && await fill(settings.cwd)
  if (cwd !== undefined && settings.cwd?.names.length !== 0) await makeFolder(settings.cwd?.texts[0] ?? '', cwd)
  return { command: settings.command, args, env, cwd }
}

function toSource (context: ServerContext): TemplateSource {
  return { caller: context.authInfo, getUpstreamAccessToken: async () => await context.getUpstreamAccessToken() }
}
