/** Methods of 2026-07-28 whose requests repeat a parameter in the header `Mcp-Name`, and which. */
export const NAMED_METHODS: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri']
])
