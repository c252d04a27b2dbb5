import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigError } from '../../errors.js'
import type { CreateServer } from '../../mcp/create-server.js'
import { getMember, isObject } from '../../members.js'

/**
 * The server of a module (ES or CommonJS): its export `createServer`, or its default export.
 * @param name of the setting, for errors
 * @param file from the working directory
 * @throws {ConfigError} that says what the module lacks
 */
export async function loadModule (name: string, file: string): Promise<CreateServer> {
  const path = resolve(file)
  if (!existsSync(path)) throw new ConfigError(`${name} is ${file}, but there is no file ${path}.`)
  const exported = await importFile(name, file, path)
  // `module.exports` is the default export
  const defaultExport = getMember(exported, 'default')
  const candidates = [
    getMember(exported, 'createServer'),
    defaultExport,
    getMember(defaultExport, 'createServer'),
    getMember(defaultExport, 'default')
  ]
  const found = candidates.find(candidate => isCreateServer(candidate))
  if (found !== undefined) return found
  const isServer = candidates.some(candidate => isObject(candidate) && typeof candidate.connect === 'function')
  const why = isServer
    ? 'exports a server: each session needs its own, so export the function that makes one'
    : `exports no function ${describe(exported)}`
  throw new ConfigError(
    `${name} is ${file}, which ${why}; it takes a module with export function createServer (context) { … } ` +
      '(docs/your-server.md).'
  )
}

async function importFile (name: string, file: string, path: string): Promise<unknown> {
  try {
    const exported: unknown = await import(pathToFileURL(path).href)
    return exported
  } catch (cause) {
    const code = isObject(cause) ? cause.code : undefined
    if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
      throw new ConfigError(
        `${name} is ${file}, which Node.js ${process.versions.node} cannot run as it is: compile it to JavaScript.`,
        { cause }
      )
    }
    // the stack is the author's: it says where their module fails
    const why = cause instanceof Error ? cause.stack ?? cause.message : String(cause)
    throw new ConfigError(`${name} is ${file}, which could not be loaded: ${why}`, { cause })
  }
}

function isCreateServer (value: unknown): value is CreateServer {
  return typeof value === 'function' && !/^class\b/.test(Function.prototype.toString.call(value))
}

function describe (exported: unknown): string {
  const names = isObject(exported) ? Object.keys(exported).filter(name => name !== 'module.exports') : []
  return names.length === 0 ? '(it has no exports)' : `createServer (its exports: ${names.join(', ')})`
}
