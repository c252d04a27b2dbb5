import type { Config } from '../../config/config.js'
import type { ServerSource } from '../../config/servers/server-source.js'
import { ConfigError } from '../../errors.js'
import type { CreateServer } from '../../mcp/create-server.js'
import { loadModule } from './load-module.js'

/** What a process hosts: one server, or several by their names. */
export interface Hosted {
  createServer?: CreateServer
  servers?: Readonly<Record<string, CreateServer>>
}

/**
 * Makes what is hosted ready.
 * @param createServer in the place of what is configured
 * @throws {ConfigError}
 */
export async function loadHosted (
  { server, servers }: Pick<Config, 'server' | 'servers'>,
  createServer?: CreateServer
): Promise<Hosted> {
  if (createServer !== undefined) return { createServer }
  if (servers === undefined) return { createServer: await loadHostedServer({ server }) }
  const loaded: Record<string, CreateServer> = {}
  for (const { name, source } of servers) loaded[name] = await loadServer(source)
  return { servers: loaded }
}

/**
 * Makes the one server that is configured, or that of `src/mcp/server.ts`.
 * @throws {ConfigError}
 */
export async function loadHostedServer ({ server }: Pick<Config, 'server'>): Promise<CreateServer> {
  return server === undefined ? await loadOwnServer() : await loadServer(server)
}

async function loadServer (source: ServerSource): Promise<CreateServer> {
  if (source.kind === 'module') return await loadModule(source.setting, source.file)
  throw new ConfigError(`${source.setting} is not served yet.`)
}

/** That of `src/mcp/server.ts`. The package does not depend on the SDK that it is made of; a clone has it. */
async function loadOwnServer (): Promise<CreateServer> {
  try {
    return (await import('../../mcp/server.js')).createServer
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause
    throw new ConfigError(
      `No MCP server is named: set SERVER_MODULE, or fastify-mcp-oauth serve --module FILE. (${cause.message})`,
      { cause }
    )
  }
}
