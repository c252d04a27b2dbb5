import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  Parser,
  visit,
  type CST,
  type Document,
  type Node,
  type YAMLError
} from 'yaml'
import type { Fault, Position } from './faults.js'

/** The rules nest six deep. The library needs the stack for each level, and ends the process without it. */
const MAX_DEPTH = 20
const MAX_ALIASES = 100

/** What YAML reads in patterns that are not in quotes. */
const QUOTES = 'a pattern with ! or * at its beginning must be in quotes'

/** The name of a member, or the index in a list. */
export type Path = ReadonlyArray<string | number>

/** A YAML or JSON text, read without meaning; knows where each part of it stands. */
export class YamlDocument {
  readonly #lines = new LineCounter()
  readonly #document: Document.Parsed | undefined
  readonly #faults: Fault[] = []

  constructor (text: string) {
    const tokens = [...new Parser(this.#lines.addNewLine).parse(text)]
    const deep = tokens.map(findDeep).find(offset => offset !== undefined)
    if (deep !== undefined) {
      this.#faults.push({ at: this.#toPosition(deep), says: `nested more than ${MAX_DEPTH} deep` })
      return
    }
    const [document, ...others] = new Composer({ lineCounter: this.#lines }).compose(tokens, true, text.length)
    this.#document = document
    this.#faults.push(
      ...[...document?.errors ?? [], ...document?.warnings ?? []].map(error => this.#toFault(error)),
      ...others.map(({ range }) => ({ at: this.#toPosition(range[0]), says: 'more than one YAML document' })),
      ...this.#findUnusable()
    )
  }

  /** What no reader could take: faults of the syntax. */
  get faults (): readonly Fault[] {
    return this.#faults
  }

  /**
   * The document as plain values.
   * @throws {ReferenceError} for aliases that multiply
   */
  toValue (): unknown {
    return this.#document?.toJS({ maxAliasCount: MAX_ALIASES })
  }

  /**
   * Where the innermost part stands that a path leads to. A text as the last step of a list is one of its items.
   * @param spelled other spellings of names, for those that are not there
   */
  locate (path: Path, spelled: Readonly<Record<string, string>> = {}): Position | undefined {
    let node: Node | null | undefined = this.#document?.contents
    let found: number | undefined = node?.range?.[0]
    for (const step of path) {
      const next = this.#step(node, step) ?? this.#step(node, spelled[step] ?? step)
      if (next === undefined) break
      found = next.offset
      node = next.node
    }
    return found === undefined ? undefined : this.#toPosition(found)
  }

  #step (from: Node | null | undefined, step: string | number): { offset: number, node: Node | null } | undefined {
    const node = isAlias(from) ? this.#document && from.resolve(this.#document) : from
    if (isMap<Node, Node | null>(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step))
      return pair && { offset: pair.key.range?.[0] ?? 0, node: pair.value }
    }
    if (!isSeq<Node>(node)) return undefined
    const item = typeof step === 'number'
      ? node.items[step]
      : node.items.find(item => isScalar(item) && String(item.value) === step)
    return item && { offset: item.range?.[0] ?? 0, node: item }
  }

  // what the library passes over, and finds only while it makes values, without a place
  #findUnusable (): Fault[] {
    const faults: Fault[] = []
    if (this.#document === undefined) return faults
    const anchors = new Set<string>()
    visit(this.#document, {
      Alias: (_key, { source, range }) => {
        if (anchors.has(source)) return
        faults.push({ at: this.#toPosition(range?.[0] ?? 0), says: `*${source} is an alias of nothing; ${QUOTES}` })
      },
      Node: (_key, node) => {
        if ('anchor' in node && node.anchor !== undefined) anchors.add(node.anchor)
      },
      Pair: (_key, { key }) => {
        if (isScalar(key) ? key.value !== '__proto__' : isAlias(key)) return
        const offset = isScalar(key) ? key.range?.[0] : undefined
        faults.push({ at: this.#toPosition(offset ?? 0), says: 'this name cannot be used' })
      }
    })
    return faults
  }

  #toFault ({ code, message, pos: [offset] }: YAMLError): Fault {
    const says = message.split('\n', 1)[0]?.replace(/:$/, '') ?? code
    const isQuotes = code === 'TAG_RESOLVE_FAILED' || code === 'BAD_ALIAS'
    return { at: this.#toPosition(offset), says: isQuotes ? `${says}; ${QUOTES}` : says }
  }

  #toPosition (offset: number): Position {
    const { line, col } = this.#lines.linePos(offset)
    return { line, column: col }
  }
}

/** The offset of what is nested too deep. A loop, as this is about the stack. */
function findDeep (document: CST.Token): number | undefined {
  const open: Array<{ token: CST.Token, depth: number }> = [{ token: document, depth: 0 }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next
    if (depth > MAX_DEPTH) return token.offset
    const inner = [
      ...'value' in token && token.value !== undefined ? [token.value] : [],
      ...'items' in token ? token.items.flatMap(({ key, value }) => [key, value]) : []
    ]
    for (const token of inner) {
      if (typeof token === 'object' && token !== null) open.push({ token, depth: depth + 1 })
    }
  }
  return undefined
}
