import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/client'
import * as z from 'zod'
import { modernRequest } from '../../src/testing/modern-request.js'
import { parseObject } from '../support/json.js'

export interface RawOptions {
  token?: string
  capabilities?: Record<string, unknown>
  meta?: Record<string, unknown>
  signal?: AbortSignal
}

/** Makes a request of revision 2026-07-28, and no more than that. */
export async function post (
  url: string,
  method: string,
  params: Record<string, unknown> = {},
  options: RawOptions = {}
): Promise<Response> {
  const {
    token = 'alice',
    capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} },
    meta,
    signal
  } = options
  const { headers, ...request } = modernRequest(7, method, params, {
    [CLIENT_CAPABILITIES_META_KEY]: capabilities,
    ...meta
  })
  return await fetch(`${url}/mcp`, {
    ...request,
    headers: { ...headers, authorization: `Bearer ${token}` },
    ...signal && { signal }
  })
}

/** The same, with its answer: JSON, or the last message of the stream. */
export async function request (url: string, method: string, params?: Record<string, unknown>, options?: RawOptions) {
  const response = await post(url, method, params, options)
  const text = await response.text()
  const last = text.trimEnd().split('\n').at(-1) ?? ''
  const { result, error, id } = parseObject(last.replace(/^data: /, ''))
  return { status: response.status, result, error, id }
}

const INPUT_REQUIRED = z.looseObject({
  resultType: z.literal('input_required'),
  requestState: z.string(),
  inputRequests: z.record(z.string(), z.looseObject({ method: z.string() }))
})

/** What a call that waits asks for before it goes on. */
export type Asked = Pick<z.output<typeof INPUT_REQUIRED>, 'requestState' | 'inputRequests'>

/**
 * What a result asks for.
 * @throws {z.ZodError} where it does not wait
 */
export const askedBy = (result: unknown): Asked => INPUT_REQUIRED.parse(result)

/** Answers all that a call asks for. */
export function answersTo ({ inputRequests }: Pick<Asked, 'inputRequests'>): Record<string, unknown> {
  const answers: Record<string, unknown> = {
    'elicitation/create': { action: 'accept', content: { colour: 'blue' } },
    'sampling/createMessage': { model: 'echo', role: 'assistant', content: { type: 'text', text: 'sampled' } },
    'roots/list': { roots: [] }
  }
  return Object.fromEntries(Object.entries(inputRequests).map(([key, { method }]) => [key, answers[method]]))
}
