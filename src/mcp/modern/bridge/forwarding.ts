import {
  inputRequired,
  ProtocolError,
  type JSONRPCNotification,
  type RequestStateCodec,
  type Result,
  type ServerContext
} from '@modelcontextprotocol/server'
import { callerOfRounds } from '../../anonymous-callers.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import type { JsonRpcResponse } from '../../wire/messages.js'
import type { Log } from '../../../log.js'
import type { ModernCall } from '../modern-call.js'
import { BridgedCall, identifyCallee, type OpenRequest } from './bridged-call.js'
import type { BridgedServer } from './bridged-server.js'
import type { CallResumption } from './call-resumption.js'
import { checkInputCapabilities } from './input-capabilities.js'
import { mapInputRequests, mapResponse, withoutTask } from './map-result.js'
import type { RequestState } from './request-state.js'

export interface BridgeOptions {
  callResumption: CallResumption
  requestStates: RequestStateCodec<RequestState>
  log: Log
}

export type Params = Record<string, unknown>

/** Of `notifications/message`, the least important first (RFC 5424). */
const LEVELS: readonly unknown[] = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']

/** One request on its way to a call: a new one, or the one that waits for what it brings. */
export class Forwarding {
  readonly #options: BridgeOptions
  readonly #inbound: ModernCall
  readonly #call: BridgedCall
  readonly #isElsewhere: boolean
  /** From then on, the call ends or waits by itself. */
  #isMade = false
  #isOver = false

  /** @param onFree the instance may serve the next call; without it, the instance ends with this one */
  constructor (options: BridgeOptions, instance: BridgedServer, inbound: ModernCall, onFree?: () => void) {
    this.#options = options
    this.#inbound = inbound
    this.#isElsewhere = instance.isElsewhere
    this.#call = new BridgedCall(instance, onFree)
  }

  async forward (params: Params | undefined, context: ServerContext): Promise<Result> {
    // its client has gone, and the instance may be another's by now
    if (this.#isOver) throw new Error('Nobody waits for this call.')
    const { callResumption, requestStates } = this.#options
    const { mcpReq: { method, requestState, inputResponses = {}, signal, _meta } } = context
    const { caller, person, client: { capabilities, logLevel } } = this.#inbound
    const open: OpenRequest = {
      signal,
      mayReturn: () => this.#inbound.hasLeft,
      progressToken: _meta?.progressToken,
      notify: notification => isWanted(notification, logLevel) ? this.#inbound.notify(notification) : undefined
    }
    const { grantId } = caller.extra
    const holder = {
      owner: callerOfRounds(caller),
      person,
      ...grantId !== undefined && { grantId }
    }
    const callee = identifyCallee(method, params)
    const brought = requestState<RequestState>()
    if (brought !== undefined && brought.callee !== callee) throw isOfOther()
    this.#isMade = brought === undefined
    const outcome = brought === undefined
      ? await callResumption.suspended.settle(
        this.#call,
        this.#call.call(method, withoutTask(params), { authInfo: caller }, open),
        holder
      )
      : await callResumption.resume(
        brought.replicaId,
        { ...holder, callId: brought.callId, round: brought.round, callee },
        inputResponses,
        open
      )
    if (outcome.kind === 'response') {
      this.#noteUnhandled(outcome.response)
      return mapResponse(outcome.response, method, params)
    }
    const state = callResumption.stateOf({ ...outcome, callee }, brought?.replicaId)
    try {
      const inputRequests = mapInputRequests(outcome.inputRequests, method)
      checkInputCapabilities(inputRequests, capabilities)
      return inputRequired({ inputRequests, requestState: await requestStates.mint(state, context) })
    } catch (error) {
      callResumption.giveUp(state)
      throw error
    }
  }

  /** That a server does not handle a method is found out before it is called, unless the server is elsewhere. */
  #noteUnhandled (response: JsonRpcResponse): void {
    if (!this.#isElsewhere || !('error' in response)) return
    if (response.error.code === jsonRpcCodes.methodNotFound) this.#inbound.answerNotFound(response.error)
  }

  /** The request has its answer, or nobody waits for it. */
  over (): void {
    if (this.#isOver) return
    this.#isOver = true
    if (!this.#isMade) this.#call.finish()
  }
}

function isOfOther (): ProtocolError {
  return new ProtocolError(
    jsonRpcCodes.invalidParams,
    'The requestState is of another request: bring it back with the same method, name and arguments.'
  )
}

function isWanted ({ method, params }: JSONRPCNotification, logLevel: string | undefined): boolean {
  return method !== 'notifications/message' ||
    (logLevel !== undefined && LEVELS.indexOf(params?.level) >= LEVELS.indexOf(logLevel))
}
