/*
 * `MCP_TEST_FAST_PATH=shut` shuts the fast path for 2026-07-28 in the process that loads this: then the SDK's handler
 * serves every request. .taprc and test/suite.ts load it into every process of tests, before anything else.
 */

/** Whether no request takes the fast path. */
export const isFastPathShut = process.env.MCP_TEST_FAST_PATH === 'shut'

if (isFastPathShut) {
  const { FastPath } = await import('../../src/mcp/modern/fast-path/fast-path.js')
  FastPath.prototype.serve = () => false
}
