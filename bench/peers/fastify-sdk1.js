import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { serveSessionsOnFastify } from './on-fastify.js'
import { hostedServer, Sessions } from './sessions.js'

serveSessionsOnFastify(new Sessions(StreamableHTTPServerTransport, hostedServer))
