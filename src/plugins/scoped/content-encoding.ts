import fp from 'fastify-plugin'

export interface PlainBodiesOptions {
  /** Makes the error for an encoded body. */
  refuse: (message: string) => Error
}

/**
 * Refuses bodies that are compressed, or encoded otherwise, in the context that it is registered in (RFC 9110 15.5.16).
 * To read them would let a small body become a large one.
 */
export const plainBodies = fp<PlainBodiesOptions>(async (app, { refuse }) => {
  app.addHook('preParsing', (request, reply, payload, done) => {
    const encoding = request.headers['content-encoding']
    const hasBody = request.headers['transfer-encoding'] !== undefined ||
      Number(request.headers['content-length'] ?? 0) > 0
    if (encoding === undefined || !hasBody || isIdentity(encoding)) {
      done(null, payload)
      return
    }
    reply.header('accept-encoding', 'identity')
    done(refuse('Content-Encoding is not supported: send the body as it is, without compression.'))
  })
}, { name: 'fastify-mcp-oauth/plain-bodies', fastify: '5.x' })

/** Whether it says that nothing was done to the body. */
function isIdentity (encoding: string): boolean {
  return encoding.split(',').every(name => ['', 'identity'].includes(name.trim().toLowerCase()))
}
