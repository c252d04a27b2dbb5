import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { serve } from './served.js'
import { serverOfSdk1, toolsOf } from './tools.js'

/*
 * The hosted server as a program of its own, with the transports of its SDK: on standard input and output, or (with
 * the parameter `http`) by Streamable HTTP without a login.
 */
const tools = toolsOf(1)
const transports = new Map<string, StreamableHTTPServerTransport>()

async function answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
  const known = transports.get(request.headers['mcp-session-id']?.toString() ?? '')
  const transport = known ?? new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    enableJsonResponse: true,
    onsessioninitialized: id => { transports.set(id, transport) }
  })
  if (known === undefined) await serverOfSdk1(tools).connect(transport)
  await transport.handleRequest(request, response)
}

if (process.argv[2] === 'http') {
  serve(async () => {
    const server = createServer((request, response) => {
      answer(request, response).catch((error: unknown) => { response.writeHead(500).end(String(error)) })
    })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    const address = server.address()
    return address !== null && typeof address === 'object' ? String(address.port) : ''
  })
} else await serverOfSdk1(tools).connect(new StdioServerTransport())
