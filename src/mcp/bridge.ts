import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { LoggingLevelSchema, type JSONRPCErrorResponse, type JSONRPCNotification, type JSONRPCRequest, type JSONRPCResultResponse } from '@modelcontextprotocol/sdk/types.js'
import {
  CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, inputRequired, isSpecType, LOG_LEVEL_META_KEY, ProtocolError, ResourceNotFoundError, Server,
  type InputRequest, type InputRequests, type RequestStateCodec, type Result, type ServerCapabilities, type ServerContext, type StandardSchemaV1
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import type { CallerInfo } from '../auth-info.js'
import { BridgedCall, calleeOf, type BridgedCallOptions, type OpenRequest } from './bridged-call.js'
import { withoutHeaderParameters } from './header-parameters.js'
import { checkInputCapabilities } from './input-capabilities.js'
import type { RequestState } from './request-state.js'
import type { WaitingCalls } from './waiting-calls.js'

export interface BridgeOptions extends BridgedCallOptions {
  /** The server of SDK 1.x that is to answer. */
  server: McpServer1 | Server1
  caller: CallerInfo
  /** The client's request; undefined where it sent a notification. */
  request: JSONRPCRequest | undefined
  waitingCalls: WaitingCalls
  requestStates: RequestStateCodec<RequestState>
}

type Params = Record<string, unknown>

// the newest revision that servers of SDK 1.x speak
const PROTOCOL_VERSION = '2025-11-25'
const RESOURCE_NOT_FOUND = -32002
const INTERNAL_ERROR = -32603
const URL_ELICITATION_REQUIRED = -32042
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
export async function bridge (options: BridgeOptions): Promise<Server> {
  const { server, caller, request, requestStates, log } = options
  const client = clientOf(request)
  const call = new BridgedCall(options)
  const { serverInfo, capabilities, instructions } = await call.begin({
    protocolVersion: PROTOCOL_VERSION, capabilities: client.capabilities, clientInfo: client.info
  }, { authInfo: caller }, client.logLevel)

  const advertised = capabilitiesOf(capabilities)
  const bridged = new Server(implementationOf(serverInfo), {
    jsonSchemaValidator,
    capabilities: advertised,
    requestState: { verify: (state, context) => requestStates.verify(state, context) },
    ...typeof instructions === 'string' && { instructions }
  })
  bridged.onerror = error => { log.debug({ err: error }, 'the SDK reports an error') }
  if (request === undefined || !handles(server, request.method)) {
    // what it advertises is known, and it is not asked for more
    await call.close()
    return bridged
  }

  const { method } = request
  let parked = false
  // also where the request never gets to the call
  bridged.onclose = () => { if (!parked) void call.close() }
  const forward = async (params: Params | undefined, context: ServerContext): Promise<Result> => {
    const { result, waiting } = await forwarded(options, client, call, params, context)
    parked = waiting
    return result
  }
  if (mayAsk(method, advertised)) bridged.setRequestHandler(method, { params: anyParams }, forward)
  else bridged.fallbackRequestHandler = ({ params }, context) => forward(params, context)
  return bridged
}

/** Forwards a request to a call made for it, or to the one that waits for what it brings. @returns whether the former waits now */
async function forwarded (
  { caller, waitingCalls, requestStates }: BridgeOptions, client: Client, call: BridgedCall, params: Params | undefined, context: ServerContext
): Promise<{ result: Result, waiting: boolean }> {
  const { mcpReq: { method, notify, requestState, inputResponses = {}, signal, _meta } } = context
  const open: OpenRequest = {
    signal,
    progressToken: _meta?.progressToken,
    notify: notification => { if (isWanted(notification, client.logLevel)) notify(notification).catch(() => {}) }
  }
  const holder = { owner: ownerOf(caller), ...caller.extra.grantId !== undefined && { grantId: caller.extra.grantId } }
  const brought = requestState<RequestState>()
  const outcome = brought === undefined
    ? await waitingCalls.make(call, [method, withoutTask(params), { authInfo: caller }, open], holder)
    : await waitingCalls.resume(brought.replicaId, { ...holder, callId: brought.callId, round: brought.round, callee: calleeOf(method, params) }, inputResponses, open)
  if (outcome.kind === 'response') return { result: resultOf(outcome.response, method, params), waiting: false }
  const state = waitingCalls.stateOf(outcome, brought?.replicaId)
  try {
    const inputRequests = requestsOf(outcome.inputRequests, method)
    checkInputCapabilities(inputRequests, client.capabilities)
    return { result: inputRequired({ inputRequests, requestState: await requestStates.mint(state, context) }), waiting: brought === undefined }
  } catch (error) {
    waitingCalls.giveUp(state)
    throw error
  }
}

function ownerOf ({ clientId, extra: { issuer, subject } }: CallerInfo): string {
  return JSON.stringify([issuer, subject, clientId])
}

/** What the client says of itself. */
interface Client {
  info: Params
  capabilities: Params
  /** Of the log messages it wants; SEP-2577: without one, of none. */
  logLevel: string | undefined
}

function clientOf (request: JSONRPCRequest | undefined): Client {
  const meta: Params = { ...request?.params?._meta }
  const { [CLIENT_INFO_META_KEY]: info, [CLIENT_CAPABILITIES_META_KEY]: capabilities, [LOG_LEVEL_META_KEY]: logLevel } = meta
  return {
    info: isObject(info) ? info : { name: 'unknown', version: '0' },
    capabilities: isObject(capabilities) ? capabilities : {},
    logLevel: typeof logLevel === 'string' ? logLevel : undefined
  }
}

/** Whether the answer to a method may be `input_required`. The SDK takes a handler for it only from a server that has the feature. */
function mayAsk (method: string, { tools, prompts, resources }: ServerCapabilities): boolean {
  return (method === 'tools/call' && tools !== undefined) || (method === 'prompts/get' && prompts !== undefined) || (method === 'resources/read' && resources !== undefined)
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

function isWanted ({ method, params }: JSONRPCNotification, logLevel: string | undefined): boolean {
  return method !== 'notifications/message' || (logLevel !== undefined && LEVELS.indexOf(params?.level) >= LEVELS.indexOf(logLevel))
}

// tasks of this revision are not those of the earlier ones
function withoutTask (params: Params | undefined): Params | undefined {
  if (params === undefined) return undefined
  const { task, ...rest } = params
  return rest
}

function resultOf (response: JSONRPCResultResponse | JSONRPCErrorResponse, method: string, params: Params | undefined): Result {
  if ('error' in response) return askedByError(response.error, method) ?? failure(response.error, method, params)
  return method === 'tools/list' ? withoutHeaderParameters(response.result) : response.result
}

/**
 * A call that could not go on before the user has been somewhere (2025-11-25 Elicitation, URL Elicitation Required) asks
 * the client for that; it has ended, so the client makes it anew.
 */
function askedByError ({ code, data }: { code: number, data?: unknown }, method: string): Result | undefined {
  if (code !== URL_ELICITATION_REQUIRED || !isObject(data) || !Array.isArray(data.elicitations)) return undefined
  const asked = data.elicitations.filter(isObject).map((params, index) => [`url-${index}`, { method: 'elicitation/create', params }] as const)
  return inputRequired({ inputRequests: requestsOf(Object.fromEntries(asked), method) })
}

function failure ({ code, message, data }: { code: number, message: string, data?: unknown }, method: string, params: Params | undefined): never {
  const uri = String(params?.uri)
  // what McpServer says of a resource that it does not have carries no code of its own
  if (method === 'resources/read' && (code === RESOURCE_NOT_FOUND || message.endsWith(`Resource ${uri} not found`))) throw new ResourceNotFoundError(uri, message)
  throw new ProtocolError(code, message, data)
}

function requestsOf (asked: Readonly<Record<string, { method: string, params?: Params }>>, method: string): InputRequests {
  if (!ASKING_METHODS.has(method)) throw new ProtocolError(INTERNAL_ERROR, `The server asked the client for something while it served ${method}, which this revision does not allow.`)
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
