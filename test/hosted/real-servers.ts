import { join } from 'node:path'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import { lacking, find } from '../support/programs.js'
import { root } from '../support/root.js'
import { useEverything, useFilesystem, useMemory, usePython, type Use } from './uses.js'

/** A server that somebody else has made. */
export interface RealServer {
  /** @param folder for what it keeps */
  options (folder: string): Pick<StdioServerOptions, 'command' | 'args' | 'env' | 'cwd'>
  use: Use
  /** What this machine lacks for it. */
  lacks?: string | undefined
}

/** The command of a package from npm. */
const bin = (name: string) => join(root, 'node_modules/.bin', name)

/** Servers over stdio: those of npm that people begin with, and one in another language, without any SDK. */
export const realServers: Readonly<Record<'everything' | 'memory' | 'filesystem' | 'python', RealServer>> = {
  everything: { options: () => ({ command: bin('mcp-server-everything') }), use: useEverything },
  memory: {
    options: folder => ({
      command: 'env',
      args: [`MEMORY_FILE_PATH=${folder}/\${personId}.jsonl`, bin('mcp-server-memory')]
    }),
    use: useMemory
  },
  filesystem: {
    options: folder => ({ command: bin('mcp-server-filesystem'), args: ['.'], cwd: `${folder}/\${personId}` }),
    use: useFilesystem
  },
  python: {
    options: () => ({ command: 'python3', args: [join(root, 'test/hosted/plain_server.py')] }),
    use: usePython,
    lacks: find('python3') === undefined ? lacking('python3') : undefined
  }
}
