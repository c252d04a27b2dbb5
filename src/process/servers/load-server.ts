import type { ServerSource } from '../../config/servers/server-source.js'
import { ConfigError } from '../../errors.js'
import type { CreateServer } from '../../mcp/create-server.js'
import { loadModule } from './load-module.js'

/**
 * Makes the server that a setting names.
 * @throws {ConfigError}
 */
export async function loadServer (source: ServerSource): Promise<CreateServer> {
  if (source.kind === 'module') return await loadModule(source.setting, source.file)
  throw new ConfigError(`${source.setting} is not served yet.`)
}
