/** Names that are listed, with `*` for any characters; a `!` takes back what earlier patterns name. */
export class Patterns {
  readonly #patterns: ReadonlyArray<{ text: string, allows: boolean, parts: readonly string[] }>

  constructor (patterns: readonly string[]) {
    this.#patterns = patterns.map(text => {
      const allows = !text.startsWith('!')
      return { text, allows, parts: (allows ? text : text.slice(1)).split('*') }
    })
  }

  /** The last pattern that fits, if it allows the name: the one that decides. */
  findMatch (name: string): string | undefined {
    const last = this.#patterns.findLast(({ parts }) => fits(name, parts))
    return last?.allows === true ? last.text : undefined
  }
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
