import type { JSONRPCErrorResponse } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'

interface RemoteErrorOptions extends ErrorOptions {
  /** Of the HTTP response. */
  status?: number
  /** The JSON-RPC error that the remote server has responded with. */
  rpcError?: JSONRPCErrorResponse['error'] | undefined
  /** Whether what was read is wrong in itself, so that to read again is of no use. */
  isLasting?: boolean
}

/**
 * The remote server did not respond as it should. The message is a sentence about "it" that any caller may read:
 * nothing of addresses, headers or tokens. What is for the operator is in `cause`.
 */
export class RemoteError extends Error {
  readonly status: number | undefined
  readonly rpcError: JSONRPCErrorResponse['error'] | undefined
  readonly isLasting: boolean

  constructor (message: string, { status, rpcError, isLasting = false, ...options }: RemoteErrorOptions = {}) {
    super(message, options)
    this.name = 'RemoteError'
    this.status = status
    this.rpcError = rpcError
    this.isLasting = isLasting
  }
}

/** There was no response: nothing is known of what the remote server speaks. */
export class RemoteUnreachableError extends RemoteError {}

/** This side has ended what ran: nothing is wrong with the remote server. */
export class RemoteEndedError extends RemoteError {}

/** The remote server does not know its session any longer. */
export class RemoteSessionGoneError extends RemoteError {}

/** An error as a JSON-RPC error. */
export function toRpcError (error: unknown): NonNullable<RemoteError['rpcError']> {
  if (error instanceof RemoteError && error.rpcError !== undefined) return error.rpcError
  const reason = error instanceof Error ? error.message : String(error)
  return { code: jsonRpcCodes.serverError, message: `The hosted server does not respond: ${reason}` }
}
