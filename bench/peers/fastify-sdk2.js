import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node'
import { hostedServerOfSdk2 } from './hosted-server-sdk2.js'
import { serveSessionsOnFastify } from './on-fastify.js'
import { Sessions } from './sessions.js'

serveSessionsOnFastify(new Sessions(NodeStreamableHTTPServerTransport, hostedServerOfSdk2))
