import type { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import type { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import {
  CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, inputRequired, isSpecType, LOG_LEVEL_META_KEY, ProtocolError, ResourceNotFoundError, Server,
  type InputRequest, type InputRequests, type RequestStateCodec, type Result, type ServerCapabilities
} from '@modelcontextprotocol/server'
import type { CallerInfo } from '../auth-info.js'
import { BridgedCall, type Announce, type BridgedOutcome, type NotificationSink } from './bridged-call.js'
import type { ParkedCalls } from './parked-calls.js'
import type { RequestState } from './request-state.js'

export interface BridgeOptions {
  /** The server of SDK 1.x that is to answer. */
  server: McpServer1 | Server1
  caller: CallerInfo
  /** `_meta` of the client's request. */
  meta: Readonly<Record<string, unknown>>
  parkedCalls: ParkedCalls
  requestStates: RequestStateCodec<RequestState>
  announce: Announce
}

// the newest revision that servers of SDK 1.x speak
const PROTOCOL_VERSION = '2025-11-25'
const RESOURCE_NOT_FOUND = -32002
const INVALID_PARAMS = -32602
// they have no part in the 2026-07-28 revision
const NOT_BRIDGED = new Set(['initialize', 'notifications/initialized', 'logging/setLevel', 'resources/subscribe', 'resources/unsubscribe', 'tasks/get', 'tasks/list', 'tasks/result', 'tasks/cancel'])

/**
 * A server of SDK 2.x that serves one request of revision 2026-07-28 by one of SDK 1.x. It advertises what that one does,
 * and forwards every method; see docs/eras.md for what cannot be bridged.
 */
export async function bridge ({ server, caller, meta, parkedCalls, requestStates, announce }: BridgeOptions): Promise<Server> {
  const extra = { authInfo: caller }
  const call = new BridgedCall(server, announce)
  let parked = false
  const logLevel = meta[LOG_LEVEL_META_KEY]
  const { serverInfo, capabilities, instructions } = await call.begin({
    protocolVersion: PROTOCOL_VERSION,
    capabilities: isObject(meta[CLIENT_CAPABILITIES_META_KEY]) ? meta[CLIENT_CAPABILITIES_META_KEY] : {},
    clientInfo: isObject(meta[CLIENT_INFO_META_KEY]) ? meta[CLIENT_INFO_META_KEY] : { name: 'unknown', version: '0' }
  }, extra, typeof logLevel === 'string' ? logLevel : undefined)

  const bridged = new Server(implementationOf(serverInfo), {
    capabilities: capabilitiesOf(capabilities),
    requestState: { verify: (state, context) => requestStates.verify(state, context) },
    ...typeof instructions === 'string' && { instructions }
  })
  bridged.fallbackRequestHandler = async ({ method, params }, context) => {
    const { mcpReq: { notify, requestState, inputResponses = {}, signal } } = context
    if (NOT_BRIDGED.has(method)) throw new ProtocolError(-32601, `Method not found: ${method}`)
    const sink: NotificationSink = notification => {
      // without a level the client wants no log messages (SEP-2577)
      if (notification.method !== 'notifications/message' || logLevel !== undefined) notify(notification).catch(() => {})
    }
    const state = requestState<RequestState>()
    if (state === undefined) return await answer(await call.call(method, forwarded(params), extra, sink, signal), call)
    const waiting = parkedCalls.take(state.callId, caller)
    if (waiting === undefined) throw new ProtocolError(INVALID_PARAMS, 'This call does not wait any more. Make it anew.')
    return await answer(await waiting.resume(inputResponses, extra, sink, signal), waiting)

    async function answer (outcome: BridgedOutcome, answered: BridgedCall): Promise<Result> {
      if (outcome.kind === 'response') {
        if ('error' in outcome.response) throw errorOf(outcome.response.error, method, params)
        return outcome.response.result
      }
      if (answered === call) parked = true
      parkedCalls.park(answered, caller)
      return inputRequired({ inputRequests: requestsOf(outcome.inputRequests), requestState: await requestStates.mint({ callId: answered.id }, context) })
    }
  }
  // also where the request never reaches the fallback
  bridged.onclose = () => { if (!parked) void call.close() }
  return bridged
}

/** The parameters without what only the 2026-07-28 revision knows. */
function forwarded (params: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  if (params === undefined) return undefined
  const { _meta, inputResponses, requestState, ...rest } = params
  const meta = isObject(_meta) ? Object.fromEntries(Object.entries(_meta).filter(([key]) => !key.startsWith('io.modelcontextprotocol/'))) : {}
  return Object.keys(meta).length > 0 ? { ...rest, _meta: meta } : rest
}

function errorOf ({ code, message, data }: { code: number, message: string, data?: unknown }, method: string, params: Record<string, unknown> | undefined): ProtocolError {
  if (code === RESOURCE_NOT_FOUND && method === 'resources/read') return new ResourceNotFoundError(String(params?.uri), message)
  return new ProtocolError(code, message, data)
}

function requestsOf (asked: Readonly<Record<string, unknown>>): InputRequests {
  const requests: InputRequests = {}
  for (const [key, request] of Object.entries(asked)) {
    if (!isInputRequest(request)) throw new ProtocolError(-32603, 'The server asked for something that this revision does not have.')
    requests[key] = request
  }
  return requests
}

function isInputRequest (request: unknown): request is InputRequest {
  return isSpecType.ElicitRequest(request) || isSpecType.CreateMessageRequest(request) || isSpecType.ListRootsRequest(request)
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

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
