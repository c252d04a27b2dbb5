/** What a header may carry as it is; the rest is encoded. */
const PLAIN = /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/

/** A text as `Mcp-Name` and `Mcp-Param-*` carry it (MCP 2026-07-28 Streamable HTTP). */
export function toHeaderValue (text: string): string {
  return PLAIN.test(text) && !text.startsWith('=?base64?')
    ? text
    : `=?base64?${Buffer.from(text).toString('base64')}?=`
}
