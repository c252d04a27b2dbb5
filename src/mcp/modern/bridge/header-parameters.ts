import type { Result } from '@modelcontextprotocol/server'
import { isObject } from '../../../members.js'

const X_MCP_HEADER = 'x-mcp-header'

/**
 * A `tools/list` result without the annotations that make parameters headers (MCP 2026-07-28 Streamable HTTP;
 * SEP-2243). A server that lists them must check the headers, and the SDK does that for servers of its own line only.
 */
export function withoutHeaderParameters (result: Result): Result {
  const { tools } = result
  return Array.isArray(tools)
    ? {
        ...result,
        tools: tools.map((tool: unknown) =>
          isObject(tool) ? { ...tool, inputSchema: withoutAnnotation(tool.inputSchema) } : tool
        )
      }
    : result
}

// annotations count only where a chain of `properties` leads
function withoutAnnotation (schema: unknown): unknown {
  if (!isObject(schema)) return schema
  const { [X_MCP_HEADER]: _, ...rest } = schema
  if (!isObject(rest.properties)) return rest
  return {
    ...rest,
    properties: Object.fromEntries(
      Object.entries(rest.properties).map(([name, property]) => [name, withoutAnnotation(property)])
    )
  }
}
