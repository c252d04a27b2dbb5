import { oneLine } from '../displayed-text.js'

const PLAIN = /^[\x20-\x7e]*$/
// what we issue, and JWTs: somebody has put them into the wrong place
const SECRETS = /\b(?:mcp(?:s|ac|at|rt)_[\w-]{8,}|eyJ[\w-]{8,}\.[\w-]{8,}[\w.-]*)/g

/** Longest text of others in an event, in characters. */
export const MAX_TEXT = 256

/** A text that others chose, as an event may have it: one line, bounded, and without what looks like a secret. */
export function shown (text: string, max = MAX_TEXT): string {
  const line = text.length <= max && PLAIN.test(text) ? text : oneLine(text.slice(0, 2 * max)).slice(0, max)
  return line.includes('mcp') || line.includes('eyJ') ? line.replace(SECRETS, '(a secret)') : line
}
