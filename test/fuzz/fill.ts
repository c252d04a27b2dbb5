/** Gives what a word in braces stands for: `{{token:good}}`. */
export type Lookup = (name: string, argument: string) => string

const WORD = /\{\{(\w+)(?::([^{}]*))?\}\}/g
/** As a whole JSON text, in the quotes of the value that it replaces. */
const DEEP = /"\{\{(deep\w*):(\d+)\}\}"|\{\{(deep\w*):(\d+)\}\}/g

// a number in such a word may have been made absurd
const LONGEST = 1_000_000

/** A text with its words in braces filled in. So a case stays short, and can be printed and repeated. */
export function fill (text: string, lookup: Lookup): string {
  if (!text.includes('{{')) return text
  return text
    .replace(DEEP, (_all, quoted?: string, depth?: string, plain?: string, plainDepth?: string) =>
      deep(quoted ?? plain ?? '', Number(depth ?? plainDepth))
    )
    .replace(WORD, (_all, name: string, argument: string | undefined = '') =>
      name === 'long' ? 'a'.repeat(Math.min(Number(argument), LONGEST)) : lookup(name, argument)
    )
}

function deep (kind: string, absurd: number): string {
  const depth = Math.min(absurd, LONGEST)
  return kind === 'deep' ? '['.repeat(depth) + ']'.repeat(depth) : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
}
