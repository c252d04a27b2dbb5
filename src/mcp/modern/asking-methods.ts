/** Requests whose result may ask for input (MCP 2026-07-28, Multi Round-Trip Requests). */
export const ASKING_METHODS: ReadonlySet<string> = new Set(['tools/call', 'prompts/get', 'resources/read'])
