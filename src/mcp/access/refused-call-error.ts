import type { JSONRPCErrorResponse } from '@modelcontextprotocol/server'

/** The policy refuses a call as if what it names did not exist: its client gets this response. */
export class RefusedCallError extends Error {
  readonly response: JSONRPCErrorResponse

  constructor (response: JSONRPCErrorResponse) {
    super('The policy refuses the call.')
    this.response = response
  }
}
