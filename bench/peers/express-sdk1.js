import { once } from 'node:events'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import express from 'express'
import { callerOfHeader, serve } from '../servers/served.js'
import { hostedServer, Sessions } from './sessions.js'

const sessions = new Sessions(StreamableHTTPServerTransport, hostedServer)
const app = express()

app.use((request, response, next) => {
  request.auth = callerOfHeader(request.headers.authorization)
  if (request.auth === undefined) response.status(401).json({ error: 'invalid_token' })
  else next()
})
app.use(express.json())
app.all('/mcp', async (request, response) => {
  const transport = await sessions.transportOf(request.headers, request.body, request.auth)
  if (transport === undefined) response.status(404).json({ error: 'no such session' })
  else await transport.handleRequest(request, response, request.body)
})

serve(async () => {
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return String(server.address().port)
})
