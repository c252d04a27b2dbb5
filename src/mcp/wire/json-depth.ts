/**
 * How deep arrays and objects may be nested. Deeper ones overflow the stack when they are written, checked or copied.
 */
export const MAX_JSON_DEPTH = 200

const [QUOTE, BACKSLASH] = [0x22, 0x5c]
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/** Whether a JSON text is nested deeper than `MAX_JSON_DEPTH`; for a text that is not JSON the result is arbitrary. */
export function isTooDeep (text: string): boolean {
  // most texts are too short for that
  if (text.length <= 2 * MAX_JSON_DEPTH) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        at = endOfString(text, at)
        if (at === -1) return false
        break
      }
      case OPEN_ARRAY: case OPEN_OBJECT: {
        if (++depth > MAX_JSON_DEPTH) return true
        break
      }
      case CLOSE_ARRAY: case CLOSE_OBJECT: depth--
    }
  }
  return false
}

/** Where the string that begins at `start` ends; -1: nowhere. */
function endOfString (text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end
    while (text.charCodeAt(before - 1) === BACKSLASH) before--
    if ((end - before) % 2 === 0) return end
  }
  return -1
}
