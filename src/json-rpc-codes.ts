/** The error codes of JSON-RPC 2.0 (section 5.1) and MCP that go over the wire. */
export const jsonRpcCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** Whatever has no code of its own: the HTTP status and the message say what is wrong. */
  serverError: -32000,
  sessionNotFound: -32001,
  resourceNotFound: -32002,
  /** The policy does not allow it. */
  forbidden: -32003,
  unsupportedProtocolVersion: -32022,
  urlElicitationRequired: -32042
} as const
