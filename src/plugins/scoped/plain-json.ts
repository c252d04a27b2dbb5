import fp from 'fastify-plugin'

/** JSON as it is, whatever reply serializer the app around has. */
export const plainJson = fp(async app => {
  app.setReplySerializer(payload => JSON.stringify(payload))
}, { name: 'fastify-mcp-oauth/plain-json', fastify: '5.x' })
