import { toFolded, type Spellings } from './spellings.js'

/** Whether a spelling of a name is one that a pattern means. */
export type Fit = (spelling: string) => boolean

/**
 * How one pattern, without its `!`, is read.
 * @param isStrict whether it forbids, or demands something: then it also means what is only spelled differently
 */
export type ToFit = (pattern: string, isStrict: boolean) => Fit

/** Names that are listed, with `*` for any characters; a `!` takes back what earlier patterns name. */
export class Patterns {
  readonly #patterns: ReadonlyArray<{ text: string, allows: boolean, fits: Fit }>

  /** @param areDemands whether what is named is not allowed by it, but needs something */
  constructor (patterns: readonly string[], toFit: ToFit = toNameFit, areDemands = false) {
    this.#patterns = patterns.map(text => {
      const allows = !text.startsWith('!')
      return { text, allows, fits: toFit(allows ? text : text.slice(1), allows === areDemands) }
    })
  }

  /** The last pattern that fits, if it allows the name: the one that decides. */
  findMatch (name: string): string | undefined {
    const last = this.#patterns.findLast(({ fits }) => fits(name))
    return last?.allows === true ? last.text : undefined
  }

  /**
   * The same for a name that may be spelled in several ways: it is allowed if each spelling that a server may look up
   * is, and no later pattern takes back what means the same.
   */
  findMatchOfAll ({ exact, equivalent }: Spellings): string | undefined {
    const lasts = exact.map(spelling => this.#findLast(spelling))
    if (!lasts.every(last => this.#patterns[last]?.allows === true)) return undefined
    const first = Math.min(...lasts)
    return equivalent.some(spelling => this.#patterns[this.#findLast(spelling, first)]?.allows === false)
      ? undefined
      : this.#patterns[lasts[0] ?? -1]?.text
  }

  /** The pattern that names any of the spellings, unless a later one excepts the name itself. */
  findMatchOfAny ({ exact, equivalent }: Spellings): string | undefined {
    const lasts = exact.map(spelling => this.#findLast(spelling))
    const first = Math.min(...lasts)
    return [...lasts, ...equivalent.map(spelling => this.#findLast(spelling, first))]
      .map(last => this.#patterns[last]).find(pattern => pattern?.allows === true)?.text
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

  /** The last pattern that fits, behind another one; -1: none. */
  #findLast (spelling: string, behind = -1): number {
    const last = this.#patterns.findLastIndex(({ fits }) => fits(spelling))
    return last > behind ? last : -1
  }
}

function toNameFit (pattern: string, isStrict: boolean): Fit {
  return toTextFit(isStrict ? [pattern, toFolded(pattern)] : [pattern])
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
