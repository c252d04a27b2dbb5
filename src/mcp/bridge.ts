import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { LoggingLevelSchema, type JSONRPCNotification, type JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import {
  CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, inputRequired, isSpecType, LOG_LEVEL_META_KEY, ProtocolError, ResourceNotFoundError, Server,
  type InputRequest, type InputRequests, type RequestStateCodec, type Result, type ServerCapabilities, type ServerContext, type StandardSchemaV1
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import type { CallerInfo } from '../auth-info.js'
import { BridgedCall, type BridgedCallOptions, type BridgedOutcome, type OpenRequest } from './bridged-call.js'
import { checkInputCapabilities } from './input-capabilities.js'
import type { ParkedCalls } from './parked-calls.js'
import type { RequestState } from './request-state.js'
import { withoutHeaderParameters } from './header-parameters.js'

export interface BridgeOptions extends BridgedCallOptions {
  /** The server of SDK 1.x that is to answer. */
  server: McpServer1 | Server1
  caller: CallerInfo
  /** The client's request; undefined where it sent a notification. */
  request: JSONRPCRequest | undefined
  parkedCalls: ParkedCalls
  requestStates: RequestStateCodec<RequestState>
}

type Params = Record<string, unknown>

// the newest revision that servers of SDK 1.x speak
const PROTOCOL_VERSION = '2025-11-25'
const RESOURCE_NOT_FOUND = -32002
const INVALID_PARAMS = -32602
const INTERNAL_ERROR = -32603
const URL_ELICITATION_REQUIRED = -32042
/** The methods that may answer `input_required`. */
const ASKING_METHODS = new Set(['tools/call', 'prompts/get', 'resources/read'])
const LEVELS: readonly unknown[] = LoggingLevelSchema.options

// of no use here, and costly to make for every request
const jsonSchemaValidator = new AjvJsonSchemaValidator()
/** The server of SDK 1.x is the one to check parameters. */
const anyParams: StandardSchemaV1<Params> = { '~standard': { version: 1, vendor: 'fastify-mcp-oauth', validate: value => ({ value: isObject(value) ? value : {} }) } }

/**
 * A server of SDK 2.x that serves one request of revision 2026-07-28 by one of SDK 1.x. It advertises what that one does,
 * and forwards every method that it handles; see docs/eras.md for what cannot be bridged.
 */
export async function bridge ({ caller, request, parkedCalls, requestStates, ...options }: BridgeOptions): Promise<Server> {
  const { server } = options
  const extra = { authInfo: caller }
  const meta: Params = { ...request?.params?._meta }
  const clientCapabilities = isObject(meta[CLIENT_CAPABILITIES_META_KEY]) ? meta[CLIENT_CAPABILITIES_META_KEY] : {}
  const logLevel = meta[LOG_LEVEL_META_KEY]
  const call = new BridgedCall(options)
  let parked = false
  const { serverInfo, capabilities, instructions } = await call.begin({
    protocolVersion: PROTOCOL_VERSION,
    capabilities: clientCapabilities,
    clientInfo: isObject(meta[CLIENT_INFO_META_KEY]) ? meta[CLIENT_INFO_META_KEY] : { name: 'unknown', version: '0' }
  }, extra, typeof logLevel === 'string' ? logLevel : undefined)

  const bridged = new Server(implementationOf(serverInfo), {
    jsonSchemaValidator,
    capabilities: capabilitiesOf(capabilities),
    requestState: { verify: (state, context) => requestStates.verify(state, context) },
    ...typeof instructions === 'string' && { instructions }
  })
  bridged.onerror = error => { options.log.debug({ err: error }, 'the SDK reports an error') }
  // also where the request never gets to the call
  bridged.onclose = () => { if (!parked) void call.close() }
  if (request === undefined || !handles(server, request.method)) return bridged

  const { method } = request
  if (ASKING_METHODS.has(method)) bridged.setRequestHandler(method, { params: anyParams }, forward)
  else bridged.fallbackRequestHandler = ({ params }, context) => forward(params, context)
  return bridged

  async function forward (params: Params | undefined, context: ServerContext): Promise<Result> {
    const { mcpReq: { notify, requestState, inputResponses = {}, signal, _meta } } = context
    const open: OpenRequest = {
      extra,
      signal,
      progressToken: _meta?.progressToken,
      notify: notification => { if (isWanted(notification, logLevel)) notify(notification).catch(() => {}) }
    }
    const state = requestState<RequestState>()
    if (state === undefined) return await answer(await call.call(method, forwarded(params), open), call)
    const waiting = parkedCalls.take(state, caller, method, params)
    if (waiting === undefined) throw new ProtocolError(INVALID_PARAMS, 'This call does not wait any more. Make it anew.')
    return await answer(await waiting.resume(inputResponses, open), waiting)

    async function answer (outcome: BridgedOutcome, answered: BridgedCall): Promise<Result> {
      if (outcome.kind === 'response') {
        await answered.close()
        if ('error' in outcome.response) return askedByError(outcome.response.error) ?? failure(outcome.response.error, method, params)
        return method === 'tools/list' ? withoutHeaderParameters(outcome.response.result) : outcome.response.result
      }
      try {
        const inputRequests = requestsOf(outcome.inputRequests)
        checkInputCapabilities(inputRequests, clientCapabilities)
        const result = inputRequired({ inputRequests, requestState: await requestStates.mint({ callId: answered.id, round: answered.round }, context) })
        parkedCalls.park(answered, caller)
        if (answered === call) parked = true
        return result
      } catch (error) {
        await answered.close()
        throw error
      }
    }
  }
}

/** Whether a server of SDK 1.x has a handler for a method. */
function handles (plugged: McpServer1 | Server1, method: string): boolean {
  const server = plugged instanceof McpServer1 ? plugged.server : plugged
  if (server.fallbackRequestHandler !== undefined) return true
  try {
    server.assertCanSetRequestHandler(method)
    return false
  } catch {
    return true
  }
}

/** Whether a client that asked for log messages of a level (SEP-2577: of none, without one) gets a notification. */
function isWanted ({ method, params }: JSONRPCNotification, logLevel: unknown): boolean {
  return method !== 'notifications/message' || (logLevel !== undefined && LEVELS.indexOf(params?.level) >= LEVELS.indexOf(logLevel))
}

/** The parameters without what this revision does not know (its own members, the SDK has taken out). */
function forwarded (params: Params | undefined): Params | undefined {
  if (params === undefined) return undefined
  const { task, ...rest } = params
  return rest
}

/**
 * A call that could not go on before the user has been somewhere (2025-11-25 Elicitation, URL Elicitation Required) asks
 * the client for that; it has ended, so the client makes it anew.
 */
function askedByError ({ code, data }: { code: number, data?: unknown }): Result | undefined {
  if (code !== URL_ELICITATION_REQUIRED || !isObject(data) || !Array.isArray(data.elicitations)) return undefined
  const asked = data.elicitations.filter(isObject).map((params, index) => [`url-${index}`, { method: 'elicitation/create', params }] as const)
  return inputRequired({ inputRequests: requestsOf(Object.fromEntries(asked)) })
}

function failure ({ code, message, data }: { code: number, message: string, data?: unknown }, method: string, params: Params | undefined): never {
  const uri = String(params?.uri)
  // what McpServer says of a resource that it does not have carries no code of its own
  if (method === 'resources/read' && (code === RESOURCE_NOT_FOUND || message.endsWith(`Resource ${uri} not found`))) throw new ResourceNotFoundError(uri, message)
  throw new ProtocolError(code, message, data)
}

function requestsOf (asked: Readonly<Record<string, { method: string, params?: Params }>>): InputRequests {
  return Object.fromEntries(Object.entries(asked).map(([key, request]) => [key, requestOf(request)]))
}

/** What a server asks for, without what only the earlier revisions know; and the link's progress tokens mean nothing to the client. */
function requestOf (asked: { method: string, params?: Params }): InputRequest {
  if (isSpecType.ElicitRequest(asked)) {
    const { _meta, task, ...params } = asked.params
    return params.mode === 'url' ? inputRequired.elicitUrl({ message: params.message, url: params.url }) : { method: asked.method, params }
  }
  if (isSpecType.CreateMessageRequest(asked)) {
    const { _meta, task, ...params } = asked.params
    return { method: asked.method, params }
  }
  if (isSpecType.ListRootsRequest(asked)) return inputRequired.listRoots()
  throw new ProtocolError(INTERNAL_ERROR, `The server asked for ${asked.method}, which this revision does not have.`)
}

function implementationOf (serverInfo: unknown): { name: string, version: string } {
  return isSpecType.Implementation(serverInfo) ? serverInfo : { name: 'unknown', version: '0' }
}

/** What the server advertises, less what this revision does otherwise. */
function capabilitiesOf (advertised: unknown): ServerCapabilities {
  if (!isSpecType.ServerCapabilities(advertised)) return {}
  const { tasks, ...capabilities } = advertised
  return capabilities
}

function isObject (value: unknown): value is Params {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
