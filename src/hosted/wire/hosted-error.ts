import type { JSONRPCErrorResponse } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

export interface HostedErrorOptions extends ErrorOptions {
  /** The JSON-RPC error that the hosted server has responded with. */
  rpcError?: JSONRPCErrorResponse['error'] | undefined
}

/**
 * A hosted server did not respond as it should. The message is a sentence about "it" that any caller may read: nothing
 * of addresses, headers or tokens. What is for the operator is in `cause`.
 */
export class HostedError extends Error {
  readonly rpcError: JSONRPCErrorResponse['error'] | undefined

  constructor (message: string, { rpcError, ...options }: HostedErrorOptions = {}) {
    super(message, options)
    this.name = 'HostedError'
    this.rpcError = rpcError
  }
}

/** This side has ended what ran: nothing is wrong with the hosted server. */
export class HostedEndedError extends HostedError {}

/** An error as a JSON-RPC error. */
export function toRpcError (error: unknown): NonNullable<HostedError['rpcError']> {
  if (error instanceof HostedError && error.rpcError !== undefined) return error.rpcError
  const reason = error instanceof Error ? error.message : String(error)
  return { code: jsonRpcCodes.serverError, message: `The hosted server does not respond: ${reason}` }
}
