import { isObject } from '../../members.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

/*
 * Both SDKs parse a request in its handler, and say `-32603` with zod's issues as JSON if the parameters are not what the
 * method takes. Here that becomes `-32602` with the members named (JSON-RPC 2.0, 5.1). This does not check parameters
 * itself. If the SDKs put the issues another way, their words reach the client. Delete `withInvalidParams` once they say so.
 */

/** Alone, or after the words of SDK 2.x, which has the right code. */
const ISSUES = /^(?:Invalid \S+ request: )?(\[.*\])$/s
const NO_TASKS = /^Server does not support task creation/
// both SDKs make a URL of the one parameter that is one, that of resources/read, without looking first
const NO_URL = 'Invalid URL'
/** Members that a message names; there may be as many as the client has sent. */
const MAX_NAMED = 3
const MAX_LENGTH = 200

/** What is wrong with a member, as the SDKs' schemas say it. */
export interface ParameterIssue {
  path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
  message: string
}

/** An error response of either SDK. */
interface ErrorResponse {
  error: { code: number, message: string, data?: unknown }
}

/** Says which members of a request are wrong, and how: `Invalid params: params.uri: expected string, received null`. */
export function invalidParamsMessage (issues: readonly ParameterIssue[]): string {
  const named = issues.slice(0, MAX_NAMED)
    .map(({ path = [], message }) => `${formatPath(path)}: ${message.replace(/^Invalid input: /, '')}`.slice(0, MAX_LENGTH))
  return `Invalid params: ${named.join('; ')}${issues.length > MAX_NAMED ? '; …' : ''}`
}

function formatPath (path: NonNullable<ParameterIssue['path']>): string {
  const keys = path.map(segment => typeof segment === 'object' ? segment.key : segment)
  return keys.map(key => typeof key === 'number' ? `[${key}]` : `.${String(key)}`).join('').replace(/^\./, '')
}

/** The error response of a server of either SDK; `-32602` if it says no more than that the parameters are wrong. */
export function withInvalidParams<R extends ErrorResponse> (response: R): R {
  const { code, message } = response.error
  if (code !== jsonRpcCodes.internalError && code !== jsonRpcCodes.invalidParams) return response
  const said = NO_TASKS.test(message) ? 'Invalid params: params.task: this server runs no tasks.' : rephrase(message)
  return said === undefined ? response : { ...response, error: { code: jsonRpcCodes.invalidParams, message: said } }
}

/** The same for the text of a response. */
export function textWithInvalidParams (text: string): string {
  const { internalError, invalidParams } = jsonRpcCodes
  if (!text.startsWith('{') || ![internalError, invalidParams].some(code => text.includes(String(code)))) return text
  const response: unknown = JSON.parse(text)
  return isErrorResponse(response) ? JSON.stringify(withInvalidParams(response)) : text
}

function isErrorResponse (value: unknown): value is ErrorResponse {
  return isObject(value) && isObject(value.error) && typeof value.error.code === 'number' &&
    typeof value.error.message === 'string'
}

function rephrase (message: string): string | undefined {
  if (message === NO_URL) return 'Invalid params: params.uri: expected a URL'
  const [, issues] = ISSUES.exec(message) ?? []
  if (issues === undefined) return undefined
  let parsed: unknown
  try {
    parsed = JSON.parse(issues)
  } catch {
    return undefined
  }
  return Array.isArray(parsed) && parsed.length > 0 && parsed.every(isOfParams)
    ? invalidParamsMessage(parsed)
    : undefined
}

// what a tool's own code has failed to parse is not the client's fault
function isOfParams (issue: unknown): issue is ParameterIssue {
  return isObject(issue) && typeof issue.message === 'string' && Array.isArray(issue.path) && issue.path[0] === 'params'
}
