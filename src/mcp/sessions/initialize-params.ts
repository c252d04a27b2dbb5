import { specTypeSchemas, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { BodyTooLargeError, InvalidInitializeError } from '../../errors.js'
import { invalidParamsMessage } from '../wire/invalid-params.js'

/**
 * The parameters of a client's `initialize`.
 * @throws {InvalidInitializeError} @throws {BodyTooLargeError}
 */
export function parseInitializeParams (request: JSONRPCRequest, maxBytes: number): Record<string, unknown> {
  const { issues } = specTypeSchemas.InitializeRequest['~standard'].validate(request)
  if (issues !== undefined) {
    throw new InvalidInitializeError(invalidParamsMessage(issues), { requestId: request.id })
  }
  const params = request.params ?? {}
  if (JSON.stringify(params).length > maxBytes) {
    throw new BodyTooLargeError(`The parameters of initialize are larger than ${maxBytes} bytes.`)
  }
  return params
}
