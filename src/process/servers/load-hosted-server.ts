import type { Config } from '../../config/config.js'
import { ConfigError } from '../../errors.js'
import type { CreateServer } from '../../mcp/create-server.js'
import { loadServer } from './load-server.js'

/**
 * Makes the server that is configured, or that of `src/mcp/server.ts`.
 * @throws {ConfigError}
 */
export async function loadHostedServer ({ server }: Pick<Config, 'server'>): Promise<CreateServer> {
  return server === undefined ? await loadOwnServer() : await loadServer(server)
}

/** The package does not depend on the SDK that this server is made of; a clone has it. */
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
