import { join } from 'node:path'
import type { Test } from 'tap'
import type { BuildAppOptions } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { loadHosted } from '../../src/process/servers/load-hosted.js'
import { startService, type Service } from '../support/service.js'

/*
 * Three servers of one process: of SDK 1.x, of SDK 2.x, and one that is a CommonJS module, each with a policy of its
 * own.
 */
const tool = (name: string, text: string) =>
  `server.registerTool('${name}', { description: '${name}' }, () => ({ content: [{ type: 'text', text: '${text}' }] }))`
const server = (sdk: string, name: string, secret: string) => `
  const { McpServer } = await import('${sdk}')
  const server = new McpServer({ name: '${name}', version: '1.0.0' })
  ${tool('hello', `${name} says hello`)}
  ${tool('secret', secret)}
  return server`
const SDK1 = '@modelcontextprotocol/sdk/server/mcp.js'
const SDK2 = '@modelcontextprotocol/server'

export const FILES = {
  'notes.mjs': `export async function createServer () {${server(SDK1, 'notes', 'of notes')}}`,
  'files.mjs': `export default async () => {${server(SDK2, 'files', 'of files')}}`,
  'maths.cjs': `module.exports = async () => {${server(SDK2, 'maths', 'of maths')}}`,
  'files.yaml': 'roles: { reader: { tools: [hello] } }\n',
  // as editors write it, with a comma too many
  'servers.json': `{
  "mcpServers": {
    "notes": { "module": "./notes.mjs", "title": "My notes", "scopes": ["notes"],
               "policy": { "login": { "emails": ["alice@example.com"] } } },
    "files": { "module": "./files.mjs", "scopes": ["files", "files:write"], "policy": "files.yaml" },
    "maths": { "module": "./maths.cjs", "scopes": ["maths"], "path": "/tools/maths", "type": "stdio" },
  }
}
`.replace(', "type": "stdio"', '')
}

/** Where each server is. */
export const PATHS = { notes: '/notes', files: '/files', maths: '/tools/maths' } as const
export const NAMES = ['notes', 'files', 'maths'] as const
export type Name = typeof NAMES[number]

export interface Servers extends Service {
  /** The file that names them. */
  file: string
  /** URL of a server, without its endpoint. */
  at (name: Name): string
}

/**
 * Runs the three in one process, as `SERVERS_FILE` says.
 * @param servers in the place of those of the modules
 * @param policy in the place of those of the file, for each
 */
export async function startThree (
  t: Test,
  environment: NodeJS.ProcessEnv = {},
  { servers, policy, ...options }: Partial<BuildAppOptions> & { policy?: object } = {}
): Promise<Servers> {
  const one = (name: Name) => ({ module: 'x.js', path: PATHS[name], scopes: [name], policy })
  const file = policy === undefined
    ? FILES['servers.json']
    : JSON.stringify({ servers: Object.fromEntries(NAMES.map(name => [name, one(name)])) })
  const SERVERS_FILE = join(t.testdir({ ...FILES, 'servers.json': file }), 'servers.json')
  const hosted = servers ?? (await loadHosted(loadConfig({ SERVERS_FILE }, { dotenv: false }))).servers
  const service = await startService(t, { SERVERS_FILE, ...environment }, {}, { ...options, servers: hosted })
  return { ...service, file: SERVERS_FILE, at: name => service.url + PATHS[name] }
}
