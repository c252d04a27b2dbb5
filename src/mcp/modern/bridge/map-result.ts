import {
  inputRequired,
  isSpecType,
  ProtocolError,
  ResourceNotFoundError,
  type InputRequest,
  type InputRequests,
  type JSONRPCErrorResponse,
  type JSONRPCResultResponse,
  type Result
} from '@modelcontextprotocol/server'
import { ASKING_METHODS } from '../asking-methods.js'
import { withoutHeaderParameters } from './header-parameters.js'
import { isObject } from '../../../members.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'

type Params = Record<string, unknown>

/** Tasks of this revision are not those of the earlier ones. */
export function withoutTask (params: Params | undefined): Params | undefined {
  if (params === undefined) return undefined
  const { task, ...rest } = params
  return rest
}

/** The result that a 1.x server's response comes to. @throws {ProtocolError} */
export function mapResponse (
  response: JSONRPCResultResponse | JSONRPCErrorResponse,
  method: string,
  params: Params | undefined
): Result {
  if ('error' in response) return askedByError(response.error, method) ?? failure(response.error, method, params)
  return method === 'tools/list' ? withoutHeaderParameters(response.result) : response.result
}

/**
 * A call that needs the user to visit a URL first (2025-11-25 Elicitation, URL Elicitation Required) asks the client
 * for that. The call itself has ended, so the client makes it again.
 */
function askedByError ({ code, data }: { code: number, data?: unknown }, method: string): Result | undefined {
  if (code !== jsonRpcCodes.urlElicitationRequired) return undefined
  if (!isObject(data) || !Array.isArray(data.elicitations)) return undefined
  const asked = data.elicitations.filter(isObject).map((params, index) =>
    [`url-${index}`, { method: 'elicitation/create', params }] as const
  )
  return inputRequired({ inputRequests: mapInputRequests(Object.fromEntries(asked), method) })
}

function failure (
  { code, message, data }: { code: number, message: string, data?: unknown },
  method: string,
  params: Params | undefined
): never {
  const uri = String(params?.uri)
  // what McpServer says of a resource that it does not have carries no code of its own
  const isNotFound = code === jsonRpcCodes.resourceNotFound || message.endsWith(`Resource ${uri} not found`)
  if (method === 'resources/read' && isNotFound) {
    throw new ResourceNotFoundError(uri, message)
  }
  throw new ProtocolError(code, message, data)
}

/** Input requests of a 1.x server in the form of this revision. @throws {ProtocolError} if it has none for them */
export function mapInputRequests (
  asked: Readonly<Record<string, { method: string, params?: Params }>>,
  method: string
): InputRequests {
  if (!ASKING_METHODS.has(method)) {
    throw new ProtocolError(
      jsonRpcCodes.internalError,
      `The server asked the client for something while it served ${method}, which this revision does not allow.`
    )
  }
  return Object.fromEntries(Object.entries(asked).map(([key, request]) => [key, mapInputRequest(request)]))
}

/**
 * What a server asks for, without what only the earlier revisions know; and the link's progress tokens mean nothing
 * to the client.
 */
function mapInputRequest (asked: { method: string, params?: Params }): InputRequest {
  if (isSpecType.ElicitRequest(asked)) {
    const { _meta, task, ...params } = asked.params
    return params.mode === 'url'
      ? inputRequired.elicitUrl({ message: params.message, url: params.url })
      : { method: asked.method, params }
  }
  if (isSpecType.CreateMessageRequest(asked)) {
    const { _meta, task, ...params } = asked.params
    return { method: asked.method, params }
  }
  if (isSpecType.ListRootsRequest(asked)) return inputRequired.listRoots()
  throw new ProtocolError(
    jsonRpcCodes.internalError,
    `The server asked for ${asked.method}, which this revision does not have.`
  )
}
