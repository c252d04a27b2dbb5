import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/client'
import { statelessRequest } from '../../src/testing/stateless-request.js'

export interface RawOptions {
  token?: string
  capabilities?: Record<string, unknown>
  meta?: Record<string, unknown>
  signal?: AbortSignal
}

/** Makes a request of revision 2026-07-28, and no more than that. */
export async function post (url: string, method: string, params: Record<string, unknown> = {}, options: RawOptions = {}): Promise<Response> {
  const { token = 'alice', capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} }, meta, signal } = options
  const { headers, ...request } = statelessRequest(7, method, params, { [CLIENT_CAPABILITIES_META_KEY]: capabilities, ...meta })
  return await fetch(`${url}/mcp`, { ...request, headers: { ...headers, authorization: `Bearer ${token}` }, ...signal && { signal } })
}

/** The same, with its answer: JSON, or the last message of the stream. */
export async function request (url: string, method: string, params?: Record<string, unknown>, options?: RawOptions) {
  const response = await post(url, method, params, options)
  const text = await response.text()
  const last = text.trimEnd().split('\n').at(-1) ?? ''
  const message = JSON.parse(last.replace(/^data: /, ''))
  return { status: response.status, result: message.result, error: message.error, id: message.id }
}

/** Answers all that an `input_required` result asks for. */
export function answersTo ({ inputRequests }: { inputRequests: Record<string, { method: string }> }): Record<string, unknown> {
  const answers: Record<string, unknown> = {
    'elicitation/create': { action: 'accept', content: { colour: 'blue' } },
    'sampling/createMessage': { model: 'echo', role: 'assistant', content: { type: 'text', text: 'sampled' } },
    'roots/list': { roots: [] }
  }
  return Object.fromEntries(Object.entries(inputRequests).map(([key, { method }]) => [key, answers[method]]))
}
