import { isObject } from '../../members.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

/*
 * Both SDKs parse a request in its handler, and respond with `-32603` and zod's issues as JSON if the parameters are
 * not what the method takes. This file turns that into `-32602` with the members named (JSON-RPC 2.0, 5.1). It does not
 * check parameters. If the SDKs change the form of the issues, their words reach the client. Delete `withInvalidParams`
 * once both SDKs respond with -32602 and plain words.
 */

/** The issues; SDK 2.x, which has the right code, puts words before them. */
const ISSUES = /^(?:Invalid \S+ request: )?(\[.*\])$/s
const NO_TASKS = /^Server does not support task creation/
// both SDKs parse the parameter of resources/read as a URL without a check
const NO_URL = 'Invalid URL'
/** Members that an error message names; the client may have sent any number. */
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

/** Names the wrong members of a request: `Invalid params: params.uri: expected string, received null`. */
export function invalidParamsMessage (issues: readonly ParameterIssue[]): string {
  const named = issues.slice(0, MAX_NAMED)
    .map(
      ({ path = [], message }) => `${formatPath(path)}: ${message.replace(/^Invalid input: /, '')}`.slice(0, MAX_LENGTH)
    )
  return `Invalid params: ${named.join('; ')}${issues.length > MAX_NAMED ? '; …' : ''}`
}

function formatPath (path: NonNullable<ParameterIssue['path']>): string {
  const keys = path.map(segment => typeof segment === 'object' ? segment.key : segment)
  return keys.map(key => typeof key === 'number' ? `[${key}]` : `.${String(key)}`).join('').replace(/^\./, '')
}

/** Rewrites an error response of either SDK to `-32602`, if it only says that the parameters are wrong. */
export function withInvalidParams<R extends ErrorResponse> (response: R): R {
  const { code, message } = response.error
  if (code !== jsonRpcCodes.internalError && code !== jsonRpcCodes.invalidParams) return response
  const said = NO_TASKS.test(message)
    ? 'Invalid params: params.task: this server does not run tasks.'
    : rephrase(message)
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

// if a tool's own code failed to parse something, it is not the client's fault
function isOfParams (issue: unknown): issue is ParameterIssue {
  return isObject(issue) && typeof issue.message === 'string' && Array.isArray(issue.path) && issue.path[0] === 'params'
}
