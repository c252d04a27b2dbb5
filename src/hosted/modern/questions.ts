import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'
import type { JsonRpcResponse } from '../../mcp/wire/messages.js'
import { HostedError } from '../wire/hosted-error.js'
import type { BelongsTo, WireReceiver } from '../wire/wire.js'

type Params = Record<string, unknown>

const MAX_QUESTIONS = 20

/** Asks the client, by requests, for what an `input_required` result wants (MCP 2026-07-28). */
export class Questions {
  readonly #receiver: WireReceiver
  readonly #waiting = new Map<RequestId, (response: JsonRpcResponse) => void>()
  #nextId = 0

  constructor (receiver: WireReceiver) {
    this.#receiver = receiver
  }

  /** Takes a response of the client. */
  answered (response: JsonRpcResponse): void {
    if (response.id === undefined) return
    this.#waiting.get(response.id)?.(response)
    this.#waiting.delete(response.id)
  }

  /**
   * Asks for all that a call needs.
   * @returns the results, by the keys of the questions
   * @throws {HostedError} (rejects with it) if the client refuses
   */
  async ask (callId: RequestId, asked: unknown, signal: AbortSignal): Promise<Params> {
    const questions = Object.entries(isObject(asked) ? asked : {})
    if (questions.length > MAX_QUESTIONS) throw new HostedError('it asks the client for too much')
    const results = await Promise.all(questions.map(async ([key, question]) => {
      if (!isObject(question) || typeof question.method !== 'string') {
        throw new HostedError('it asks the client for what cannot be asked')
      }
      const { method, params } = question
      const of = { relatedRequestId: callId, inputKey: key }
      return [key, await this.#ask(of, method, isObject(params) ? params : {}, signal)] as const
    }))
    return Object.fromEntries(results)
  }

  async #ask (of: BelongsTo, method: string, params: Params, signal: AbortSignal): Promise<Params> {
    const id = `input.${this.#nextId++}`
    const request: JSONRPCRequest = {
      jsonrpc: '2.0',
      id,
      method,
      params: params.mode === 'url' ? { elicitationId: id, ...params } : params
    }
    const giveUp = () => {
      this.#waiting.delete(id)
      const cancelled = { jsonrpc: '2.0' as const, method: 'notifications/cancelled', params: { requestId: id } }
      this.#receiver.received(cancelled, of).catch(() => {})
    }
    let abort = () => {}
    try {
      const response = await new Promise<JsonRpcResponse>((resolve, reject) => {
        abort = () => {
          giveUp()
          reject(signal.reason)
        }
        this.#waiting.set(id, resolve)
        signal.addEventListener('abort', abort, { once: true })
        if (signal.aborted) abort()
        else this.#receiver.received(request, of).catch(reject)
      })
      if ('result' in response) return response.result
      throw new HostedError('the client refuses what it needs', { rpcError: response.error })
    } finally {
      this.#waiting.delete(id)
      signal.removeEventListener('abort', abort)
    }
  }
}
