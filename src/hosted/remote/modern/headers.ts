import { getMember, isObject } from '../../../members.js'
import { toHeaderValue } from '../../../mcp/wire/header-value.js'
import { NAMED_METHODS } from '../../../mcp/wire/named-methods.js'
import { REVISION_2026_07_28 } from '../../../mcp/wire/protocol-versions.js'

type Params = Record<string, unknown>

/** A parameter of a tool that goes along as a header (MCP 2026-07-28 Streamable HTTP, `x-mcp-header`). */
interface HeaderParameter {
  header: string
  path: readonly string[]
}

const MAX_TOOLS = 1000
const MAX_DEPTH = 20
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/

/** The headers by which a request of 2026-07-28 says what it is. */
export class RequestHeaders {
  readonly #parameters = new Map<string, readonly HeaderParameter[]>()

  /** Notes what a result of `tools/list` says of parameters that are headers. */
  note (result: Params): void {
    for (const tool of Array.isArray(result.tools) ? result.tools : []) {
      const name = getMember(tool, 'name')
      if (typeof name !== 'string') continue
      const found = [...findParameters(getMember(tool, 'inputSchema'))]
      if (found.length === 0) this.#parameters.delete(name)
      else if (this.#parameters.size < MAX_TOOLS) this.#parameters.set(name, found)
    }
  }

  make (method: string, params: Params): Record<string, string> {
    const member = NAMED_METHODS.get(method)
    const name = member === undefined ? undefined : params[member]
    const parameters = method === 'tools/call' && typeof name === 'string' ? this.#parameters.get(name) ?? [] : []
    return {
      'mcp-protocol-version': REVISION_2026_07_28,
      'mcp-method': method,
      ...typeof name === 'string' && { 'mcp-name': toHeaderValue(name) },
      ...Object.fromEntries(parameters.flatMap(({ header, path }) => {
        const value = path.reduce<unknown>(getMember, params.arguments)
        const isPrimitive = typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value)
        return isPrimitive ? [[`mcp-param-${header}`, toHeaderValue(String(value))]] : []
      }))
    }
  }
}

function * findParameters (schema: unknown, path: readonly string[] = []): Generator<HeaderParameter> {
  const properties = getMember(schema, 'properties')
  if (!isObject(properties) || path.length > MAX_DEPTH) return
  for (const [name, property] of Object.entries(properties)) {
    const header = getMember(property, 'x-mcp-header')
    if (typeof header === 'string' && TOKEN.test(header)) yield { header, path: [...path, name] }
    yield * findParameters(property, [...path, name])
  }
}
