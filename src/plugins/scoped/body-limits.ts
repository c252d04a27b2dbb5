/** Largest body of an MCP request, in bytes, unless `maxBodyBytes` (MAX_BODY_BYTES) says otherwise. */
export const MCP_BODY_BYTES = 4_194_304

/** Largest body of an OAuth request or a form, in bytes: no such message is larger. */
export const OAUTH_BODY_BYTES = 65_536
