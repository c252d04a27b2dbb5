import { UriTemplate, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { getMember, isObject } from '../../members.js'
import type { Primitive } from '../../policy/access.js'

type Result = Record<string, unknown>

/** By method: where a list is in its result, and what an entry of it is. */
const LISTS: ReadonlyMap<string, { member: string, toPrimitive: (entry: unknown) => Primitive }> = new Map([
  ['tools/list', { member: 'tools', toPrimitive: entry => ({ kind: 'tools', name: nameOf(entry, 'name') }) }],
  ['prompts/list', { member: 'prompts', toPrimitive: entry => ({ kind: 'prompts', name: nameOf(entry, 'name') }) }],
  ['resources/list', {
    member: 'resources',
    toPrimitive: entry => ({ kind: 'resources', name: nameOf(entry, 'uri') })
  }],
  ['resources/templates/list', {
    member: 'resourceTemplates',
    toPrimitive: entry => ({ kind: 'resources', name: nameOf(entry, 'uriTemplate'), isTemplate: true })
  }]
])

function nameOf (entry: unknown, member: string): string {
  return String(getMember(entry, member))
}

/** Whether the results of a method are filtered, or not for every cache. */
export function isFiltered (method: string): boolean {
  return LISTS.has(method) || method === 'completion/complete' || method === 'resources/read'
}

/**
 * A result without what its caller may not know of. The result itself is not changed: the server may keep it, and give
 * it to others. Who keeps the response may give it to nobody else.
 */
export function toListed (
  { method, params = {} }: JSONRPCRequest,
  result: Result,
  isListed: (primitive: Primitive) => boolean
): Result {
  const list = LISTS.get(method)
  const entries = list && result[list.member]
  if (list !== undefined && Array.isArray(entries)) {
    return toPrivate({ ...result, [list.member]: entries.filter(entry => isListed(list.toPrimitive(entry))) })
  }
  return method === 'completion/complete' ? toCompletion(params, result, isListed) : toPrivate(result)
}

/** MCP 2026-07-28, Caching: what a policy has filtered is not for shared caches. */
function toPrivate (result: Result): Result {
  return result.cacheScope === 'public' ? { ...result, cacheScope: 'private' } : result
}

/** The values of a template's variable name resources, if the others are known. */
function toCompletion (
  { ref, argument, context }: Record<string, unknown>,
  result: Result,
  isListed: (primitive: Primitive) => boolean
): Result {
  const { completion } = result
  const uri = getMember(ref, 'uri')
  const variable = getMember(argument, 'name')
  if (!isObject(completion) || !Array.isArray(completion.values)) return result
  if (typeof uri !== 'string' || typeof variable !== 'string' || !UriTemplate.isTemplate(uri)) return result
  const others = getMember(context, 'arguments')
  const known = isObject(others) ? Object.entries(others).filter(isText) : []
  const values = completion.values.filter(value => {
    const name = expand(uri, [...known, [variable, String(value)]])
    return name === undefined || isListed({ kind: 'resources', name })
  })
  const { total } = completion
  const left = typeof total === 'number' ? Math.max(0, total - (completion.values.length - values.length)) : undefined
  return { ...result, completion: { ...completion, values, ...left !== undefined && { total: left } } }
}

/** @returns undefined if the values of other variables are not known */
function expand (uri: string, values: ReadonlyArray<[string, string]>): string | undefined {
  const variables = Object.fromEntries(values)
  const template = new UriTemplate(uri)
  return template.variableNames.every(name => Object.hasOwn(variables, name)) ? template.expand(variables) : undefined
}

function isText (entry: [string, unknown]): entry is [string, string] {
  return typeof entry[1] === 'string'
}
