/** How long browsers may remember a preflight. */
const MAX_AGE_SECONDS = 86_400

/** CORS of the metadata documents: any website may read them. */
export const METADATA_CORS = { origin: '*', methods: ['GET'], maxAge: MAX_AGE_SECONDS }

/** CORS of the OAuth endpoints for clients: any website may be a client. */
export const OAUTH_CORS = {
  origin: '*',
  methods: ['GET', 'POST'],
  exposedHeaders: ['WWW-Authenticate', 'Retry-After'],
  maxAge: MAX_AGE_SECONDS
}

/** CORS of the MCP endpoints; which origins may call them is configured. */
export const MCP_CORS = {
  methods: ['GET', 'POST', 'DELETE'],
  exposedHeaders: ['Mcp-Session-Id', 'Mcp-Protocol-Version', 'WWW-Authenticate'],
  maxAge: MAX_AGE_SECONDS
}
