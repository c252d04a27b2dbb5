import { join } from 'node:path'
import type { Test } from 'tap'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { root } from '../support/root.js'

interface Sharing extends Pick<StdioServerOptions, 'per' | 'limits'> {
  /** Whether it serves earlier revisions too. */
  legacy?: 'serve' | 'reject'
  /** The file that each process writes a line to. */
  starts?: string
  /** How many of its processes read nothing before `initialize` has come. */
  slow?: number
}

/** Hosts the program of 2026-07-28 that tells which process it is, keeps what it is told, and asks. */
export async function hostSharing (
  t: Test,
  { legacy = 'serve', starts, slow = 0, limits, ...options }: Sharing
): Promise<McpService> {
  const program = join(root, 'test/hosted/sharing-program.ts')
  return await startMcp(t, {
    createServer: stdioServer({
      command: process.execPath,
      args: ['--import', 'tsx', program, legacy, ...starts === undefined ? [] : [starts, String(slow)]],
      cwd: root,
      limits: { graceSeconds: 0.5, ...limits },
      ...options
    })
  })
}
