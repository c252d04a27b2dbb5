import type { CustomFetchOptions } from 'openid-client'
import { isObject } from '../../../members.js'
import type { Fetch } from '../../upstream-observer.js'
import { unusable } from '../upstream-errors.js'

/*
 * What an upstream sends is as hostile as what a client sends. Each kind of answer has a file here that takes the
 * members that we read, of the type that they must have; null, an empty text and a wrong type count as absent, unless
 * nothing works without the member.
 */

/** Of a decoded body: metadata, tokens with their group claims, and key sets are far smaller. */
const MAX_ANSWER_BYTES = 262_144

const WITHOUT_BODY = new Set([204, 205, 304])

/** An answer that was read to its end. */
export interface Answer {
  status: number
  headers: Headers
  text: string
  /** Of a JSON object, those that are neither null nor empty; undefined if the body is something else. */
  members: ReadonlyMap<string, unknown> | undefined
}

/**
 * Sends a request of openid-client, and reads the answer.
 * @throws {UpstreamError} if it is too long
 */
export async function fetchAnswer (fetch: Fetch, url: string, init: CustomFetchOptions): Promise<Answer> {
  return await readAnswer(await send(fetch, url, init), url)
}

/** Reads an answer. @throws {UpstreamError} if it is too long */
export async function readAnswer (response: Response, url: string): Promise<Answer> {
  const text = await readText(response, url)
  return { status: response.status, headers: response.headers, text, members: findMembers(text) }
}

/** The answer as it came, for openid-client to refuse. */
export function asItCame ({ status, headers, text }: Answer): Response {
  return new Response(text === '' || WITHOUT_BODY.has(status) ? null : text, { status, headers })
}

/** Sends a request of openid-client. */
async function send (fetch: Fetch, url: string, init: CustomFetchOptions): Promise<Response> {
  const { body = null, signal = null, ...rest } = init
  return await fetch(url, { ...rest, body, signal })
}

/** A member that is text; undefined if it is absent. */
export function findText (members: ReadonlyMap<string, unknown>, name: string): string | undefined {
  const value = members.get(name)
  return typeof value === 'string' ? value : undefined
}

async function readText ({ body }: Response, url: string): Promise<string> {
  if (body === null) return ''
  const decoder = new TextDecoder()
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader()
  let [text, bytes] = ['', 0]
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.byteLength
    if (bytes > MAX_ANSWER_BYTES) {
      // nothing waits for a body that may never end
      reader.cancel().catch(() => {})
      throw unusable(`${url} responds with more than ${MAX_ANSWER_BYTES} bytes`)
    }
    text += decoder.decode(next.value, { stream: true })
  }
  return text + decoder.decode()
}

function findMembers (text: string): Map<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isObject(value)) return undefined
    return new Map(Object.entries(value).filter(([, member]) => member !== null && member !== ''))
  } catch {
    return undefined
  }
}
