import { EventEmitter } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { getMember, isObject } from '../../../src/members.js'
import { listenFor } from '../../support/service.js'

/** A request that a scripted remote server got. */
export interface RemoteRequest {
  verb: string
  url: string
  headers: IncomingHttpHeaders
  /** Of its JSON-RPC message. */
  method: string | undefined
  id: unknown
  params: unknown
}

export interface Exchange extends RemoteRequest {
  response: ServerResponse
  /** Responds with JSON. */
  json (message: unknown, status?: number, headers?: Record<string, string>): void
  /** Responds with the result of the request. */
  result (result: unknown, headers?: Record<string, string>): void
  /** Begins a stream; writes events. */
  stream (...events: string[]): void
}

/** @returns whether it has dealt with the request */
export type Script = (exchange: Exchange) => boolean | undefined | Promise<boolean | undefined>

/** A remote server that does what a test says, and otherwise what it should. Emits each request by its method. */
export class ScriptedRemote extends EventEmitter {
  readonly requests: RemoteRequest[] = []
  script: Script = () => false
  origin = ''
  #sessions = 0

  static async start (t: Test, script?: Script): Promise<ScriptedRemote> {
    const remote = new ScriptedRemote()
    if (script !== undefined) remote.script = script
    const port = await listenFor(t, (request, response) => {
      remote.#serve(request, response).catch((error: unknown) => {
        response.destroy()
        t.fail(String(error))
      })
    })
    remote.origin = `http://127.0.0.1:${port}`
    return remote
  }

  get url (): string {
    return `${this.origin}/mcp`
  }

  /** The requests of a method, or of a verb. */
  of (name: string): RemoteRequest[] {
    return this.requests.filter(({ method, verb }) => method === name || (method === undefined && verb === name))
  }

  async #serve (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = []
    const posted: AsyncIterable<Uint8Array> = request
    for await (const chunk of posted) chunks.push(chunk)
    const body: unknown = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString())
    const method = getMember(body, 'method')
    const { method: verb = '', url = '', headers } = request
    const id = getMember(body, 'id')
    const received: RemoteRequest = {
      verb,
      url,
      headers,
      method: typeof method === 'string' ? method : undefined,
      id,
      params: getMember(body, 'params')
    }
    this.requests.push(received)
    this.emit(received.method ?? verb, received)
    const json: Exchange['json'] = (message, status = 200, more = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...more }).end(JSON.stringify(message))
    }
    const exchange: Exchange = {
      ...received,
      response,
      json,
      result (result, more) { json({ jsonrpc: '2.0', id, result }, 200, more) },
      stream (...events) {
        if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
        for (const event of events) response.write(event)
      }
    }
    if (await this.script(exchange) !== true) this.#behave(exchange)
  }

  #behave ({ verb, method, id, params, response, result }: Exchange): void {
    if (verb !== 'POST') response.writeHead(verb === 'DELETE' ? 204 : 405).end()
    else if (method === 'initialize') {
      result({
        protocolVersion: getMember(params, 'protocolVersion'),
        capabilities: { tools: {}, logging: {}, resources: { subscribe: true } },
        serverInfo: { name: 'scripted', version: '1' }
      }, { 'mcp-session-id': `session-${++this.#sessions}` })
    } else if (id === undefined || method === undefined) response.writeHead(202).end()
    else if (method === 'tools/call') result({ content: [{ type: 'text', text: String(getMember(params, 'name')) }] })
    else result({})
  }
}

/** An event with a message. */
export const event = (message: unknown, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(message)}\n\n`

/** The last JSON-RPC message of a response: JSON, or a stream that has ended. */
export async function lastMessage (response: Response): Promise<Record<string, unknown>> {
  const text = await response.text()
  const data = text.startsWith('{') ? text : text.split('\n').findLast(line => line.startsWith('data: {'))?.slice(6)
  const message: unknown = JSON.parse(data ?? 'null')
  if (!isObject(message)) throw new Error(`no message: ${text}`)
  return message
}
