import type { Config } from '../../config/config.js'
import type { ServerSource } from '../../config/servers/server-source.js'
import { ConfigError } from '../../errors.js'
import { stdioServer } from '../../hosted/stdio/stdio-server.js'
import { remoteServer } from '../../hosted/remote/remote-server.js'
import type { CreateServer } from '../../mcp/create-server.js'
import { loadModule } from './load-module.js'

/** What a process hosts: one server, or several by their names. */
export interface Hosted {
  createServer?: CreateServer
  servers?: Readonly<Record<string, CreateServer>>
}

type HostedConfig = Pick<Config, 'server' | 'proxy'> & Partial<Pick<Config, 'servers'>>

/**
 * Makes what is hosted ready.
 * @param createServer in the place of what is configured
 * @throws {ConfigError}
 */
export async function loadHosted (
  { server, servers, proxy }: HostedConfig,
  createServer?: CreateServer
): Promise<Hosted> {
  if (createServer !== undefined) return { createServer }
  if (servers === undefined) return { createServer: await loadHostedServer({ server, proxy }) }
  const loaded: Record<string, CreateServer> = {}
  for (const { name, source } of servers) loaded[name] = await loadServer(source, proxy)
  return { servers: loaded }
}

/**
 * Makes the one server that is configured, or that of `src/mcp/server.ts`.
 * @throws {ConfigError}
 */
export async function loadHostedServer ({ server, proxy }: HostedConfig): Promise<CreateServer> {
  return server === undefined ? await loadOwnServer() : await loadServer(server, proxy)
}

async function loadServer (source: ServerSource, proxy: Config['proxy']): Promise<CreateServer> {
  const { setting } = source
  try {
    switch (source.kind) {
      case 'module':
        return await loadModule(setting, source.file)
      case 'stdio': {
        const { command, args, env, inheritEnv, cwd, roots, per } = source
        return stdioServer({ command, args, env, inheritEnv, cwd, roots, per })
      }
      case 'remote': {
        const { url: { href: url }, transport, headers, auth } = source
        return remoteServer({ url, transport, headers, ...auth && { auth }, ...proxy && { proxy } })
      }
    }
  } catch (error) {
    if (!(error instanceof ConfigError) || error.message.startsWith(setting)) throw error
    throw new ConfigError(`${setting}: ${error.message}`, { cause: error })
  }
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
