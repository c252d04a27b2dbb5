import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { createServer as createServer1 } from './fixture-server.js'
import { createServer as createServer2 } from './fixture-server-2.js'

/*
 * A fixture server as a program: its argument is the SDK that it is written with.
 */
if (process.argv[2] === '2') serveStdio(createServer2)
else await createServer1().connect(new StdioServerTransport())
