/** The ways to spell one name. */
export interface Spellings {
  /** What a server may look up: the name as it came, and a URI also in the form that the SDKs make of it. */
  exact: readonly string[]
  /** What a server may take for the same: nothing may be allowed by one spelling and taken back by another. */
  equivalent: readonly string[]
}

/** A server that decodes more often than this has other worries. */
const MAX_DECODED = 3
const DOT_SEGMENT = /(^|[/\\])\.\.?([/\\]|$)/
// eslint-disable-next-line no-control-regex
const ASCII = /^[\x00-\x7f]*$/

/** The spellings of a tool's or a prompt's name: names are compared exactly, except that `!` knows Unicode's. */
export function toNameSpellings (name: string): Spellings {
  const composed = ASCII.test(name) ? name : name.normalize('NFC')
  return { exact: [name], equivalent: composed === name ? [] : [composed] }
}

/**
 * The spellings of a URI: `NOTE://a` and `note:///x/../a` are looked up in another form than they came in, and some
 * servers decode what they get.
 */
export function toUriSpellings (uri: string): Spellings {
  const normal = normalizeUri(uri)
  const exact = new Set([uri, normal])
  const equivalent = new Set<string>()
  let decoded = normal
  for (let times = 0; times < MAX_DECODED; times++) {
    const next = decodePercents(decoded)
    if (next === decoded) break
    decoded = next
    equivalent.add(decoded)
    // a path that only its decoder sees: where it leads must be allowed
    if (DOT_SEGMENT.test(decoded)) exact.add(normalizeUri(decoded))
  }
  return { exact: [...exact], equivalent: [...equivalent] }
}

/** The spellings in which a pattern is compared: one that takes back also as `toEquivalent` spells it. */
export function toPatternSpellings (
  pattern: string,
  allows: boolean,
  toEquivalent: (pattern: string) => string
): string[] {
  return allows ? [pattern] : [...new Set([pattern, toEquivalent(pattern)])]
}

/** A URI in the form in which both SDKs look it up; what cannot be read as one stays as it is. */
export function normalizeUri (uri: string): string {
  return URL.parse(uri)?.href ?? uri
}

/** Decodes percent-encoded bytes, also where others are wrong. */
export function decodePercents (text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, bytes => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString())
}
