import { toPatternSpellings, type Spellings } from './spellings.js'

/** Whether a spelling of a name is one that a pattern means. */
export type Fit = (spelling: string) => boolean

/** Names that are listed, with `*` for any characters; a `!` takes back what earlier patterns name. */
export class Patterns {
  readonly #patterns: ReadonlyArray<{ text: string, allows: boolean, fits: Fit }>

  /** @param toFit how one pattern, without its `!`, is read */
  constructor (patterns: readonly string[], toFit: (pattern: string, allows: boolean) => Fit = toNameFit) {
    this.#patterns = patterns.map(text => {
      const allows = !text.startsWith('!')
      return { text, allows, fits: toFit(allows ? text : text.slice(1), allows) }
    })
  }

  /** The last pattern that fits, if it allows the name: the one that decides. */
  findMatch (name: string): string | undefined {
    const last = this.#patterns.findLast(({ fits }) => fits(name))
    return last?.allows === true ? last.text : undefined
  }

  /**
   * The same for a name that may be spelled in several ways: it is allowed if each spelling that a server may look up
   * is, and none that means the same is taken back.
   */
  findMatchOfAll ({ exact, equivalent }: Spellings): string | undefined {
    const matches = exact.map(spelling => this.findMatch(spelling))
    return matches.includes(undefined) || equivalent.some(spelling => this.#takesBack(spelling))
      ? undefined
      : matches[0]
  }

  /** The pattern that names any of the spellings. */
  findMatchOfAny ({ exact, equivalent }: Spellings): string | undefined {
    return [...exact, ...equivalent].map(spelling => this.findMatch(spelling)).find(match => match !== undefined)
  }

  /** Whether no name is allowed. */
  get isEmpty (): boolean {
    return !this.#patterns.some(({ allows }) => allows)
  }

  /** Whether every name is allowed, also one that is not known. */
  get allowsAll (): boolean {
    const all = this.#patterns.findLastIndex(({ text }) => text === '*')
    return all !== -1 && this.#patterns.slice(all).every(({ allows }) => allows)
  }

  #takesBack (spelling: string): boolean {
    return this.#patterns.findLast(({ fits }) => fits(spelling))?.allows === false
  }
}

function toNameFit (pattern: string, allows: boolean): Fit {
  return toTextFit(toPatternSpellings(pattern, allows, spelling => spelling.normalize('NFC')))
}

/** A fit of any of these patterns. */
export function toTextFit (patterns: readonly string[]): Fit {
  const all = patterns.map(pattern => pattern.split('*'))
  return spelling => all.some(parts => fits(spelling, parts))
}

/** Whether a name is the parts with anything between them. Linear: patterns and names may be long. */
function fits (name: string, parts: readonly string[]): boolean {
  const [first = '', ...others] = parts
  const last = others.pop()
  if (last === undefined) return name === first
  if (!name.startsWith(first)) return false
  let from = first.length
  for (const part of others) {
    const at = name.indexOf(part, from)
    if (at === -1) return false
    from = at + part.length
  }
  return name.length - last.length >= from && name.endsWith(last)
}
