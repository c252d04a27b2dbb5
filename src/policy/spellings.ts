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
/** What is folded already, as most names are. */
const FOLDED = /^[!-@[-~]*$/
/** Compatibility forms of longer names are not looked for: one character may stand for eighteen. */
const MAX_COMPATIBLE = 10_000
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Cc}]/gu

/**
 * What a careless server may look a name up as: without case, compatibility forms (full-width letters), characters that
 * nobody sees, and space around it.
 */
export function toFolded (name: string): string {
  if (FOLDED.test(name)) return name
  const visible = name.replaceAll(INVISIBLE, '')
  const form = visible.length > MAX_COMPATIBLE ? 'NFC' : 'NFKC'
  // the last sigma of a word has a form of its own
  return visible.normalize(form).toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize(form).trim()
}

/** The spellings of a tool's or a prompt's name. */
export function toNameSpellings (name: string): Spellings {
  const folded = toFolded(name)
  return { exact: [name], equivalent: folded === name ? [] : [folded] }
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
  for (const spelling of [normal, ...equivalent]) equivalent.add(toFolded(spelling))
  return { exact: [...exact], equivalent: [...equivalent] }
}

/** A URI in the form in which both SDKs look it up; what cannot be read as one stays as it is. */
export function normalizeUri (uri: string): string {
  return URL.parse(uri)?.href ?? uri
}

/** Decodes percent-encoded bytes, also where others are wrong. */
export function decodePercents (text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, bytes => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString())
}
