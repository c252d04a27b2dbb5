import { Sessions, streamableHttp } from 'fastify-mcp'
import { serveOnFastify } from './on-fastify.js'
import { hostedServer } from './sessions.js'

// it offers no way to answer with JSON, and does not know whose a session is
serveOnFastify(async app => {
  await app.register(streamableHttp, {
    stateful: true,
    mcpEndpoint: '/mcp',
    sessions: new Sessions(),
    createServer: async () => (await hostedServer()).server
  })
})
