import fp from 'fastify-plugin'

/** Plain JSON, even if the app around has a reply serializer. */
export const plainJson = fp(async app => {
  app.setReplySerializer(payload => JSON.stringify(payload))
}, { name: 'fastify-mcp-oauth/plain-json', fastify: '5.x' })
