/** Headers of MCP that have one value, none of which contains a comma. */
const SINGLE = ['mcp-session-id', 'mcp-protocol-version', 'mcp-method', 'last-event-id']
/** The same, but its value may contain one: proxies that join lines cannot be told from a name. */
const NAME = 'mcp-name'

/**
 * Takes a header that came twice with the same value, as some clients and proxies send it, for one. With different
 * values it stays as Node.js has joined it, and is refused as such a value is.
 * @param headers are changed
 * @param rawHeaders names and values, in turn
 */
export function joinRepeated (
  headers: Record<string, string | string[] | undefined>,
  rawHeaders: readonly string[]
): void {
  for (const name of SINGLE) {
    const value = headers[name]
    if (typeof value === 'string' && value.includes(',')) headers[name] = once(value.split(','), value)
  }
  const value = headers[NAME]
  if (typeof value !== 'string' || !value.includes(',')) return
  headers[NAME] = once(
    rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === NAME),
    value
  )
}

/** The one value that all have; otherwise `whole`. */
function once (values: readonly string[], whole: string): string {
  const [first = whole, ...others] = values.map(value => value.trim())
  return others.every(value => value === first) ? first : whole
}
