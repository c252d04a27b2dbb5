import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { plainServer } from '../hosted/stdio.js'

/** A program that remembers what it was told, and has a process for each session. */
export function hostedNotes (restart: boolean): CreateServer {
  return stdioServer({ command: process.execPath, args: [plainServer], per: 'session', restart })
}
