import { plainServer } from './stdio.js'
import { callTool } from './stdio.js'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { runMcp, RawClient } from '../support/mcp-harness.js'

// Hosts a server that ignores the end of its input and SIGTERM, with a child; prints both pids, and stays.
const createServer = stdioServer({ command: process.execPath, args: [plainServer, '--stubborn'] })
const service = await runMcp({ createServer })
const client = await new RawClient(service).connect()
const { text: pid } = await callTool(client, 'pid')
const { text: child } = await callTool(client, 'family')
process.stdout.write(`${pid} ${child}\n`)
