/*
 * A lint rule for English: phrases that a native reader stumbles over, each with what to write instead.
 * It reads whole files, code and prose alike, because comments, log lines and test titles are prose, too.
 */

/**
 * [phrase, what to write instead]; a space in a phrase also matches a line break, with the `*`, `//` or `#` after it.
 */
const PHRASES = [
  [/(?<!\bthere )\b(?:is|are|was|were) no (?!(?:longer|more|less|fewer|later|earlier|different|one|doubt)\b)/, 'must be, is not a'],
  [/\bhear(?:s|d)?\b/, 'receives, is told, learns'],
  [/\bwhoever\b/, 'anyone who, the caller'],
  [/\b(?:goes|went|gone) on\b(?! (?:the|a|each|its)\b)/, 'continues'],
  [/\bgo on\b/, 'continue'],
  [/\bany more\b/, 'no longer'],
  [/\banew\b/, 'again'],
  [/\bof (?:ours|yours|theirs)\b/, 'our, your, their'],
  [/\btells\b/, 'says, shows, informs'],
  [/\bwhere (?:it|they|there|somebody|one) (?:is|are|was|were|does|do|has|have)\b/, 'if'],
  [/\bwhere (?:none|nobody|nothing|no) /, 'if no'],
  [/\bfor want of\b/, 'without']
]

const GAP = String.raw`(?:\s+(?:(?:\*|\/\/|#|>)\s+)?)`

const patterns = PHRASES.map(([phrase, instead]) => ({
  pattern: new RegExp(phrase.source.replaceAll(' ', GAP), 'gi'),
  instead
}))

const plainWords = {
  meta: {
    type: 'suggestion',
    schema: [],
    messages: { dialect: '"{{found}}": write {{instead}}' }
  },
  create: ({ sourceCode, report }) => ({
    Program () {
      for (const { pattern, instead } of patterns) {
        for (const { 0: found, index } of sourceCode.text.matchAll(pattern)) {
          report({
            loc: { start: sourceCode.getLocFromIndex(index), end: sourceCode.getLocFromIndex(index + found.length) },
            messageId: 'dialect',
            data: { found: found.replaceAll(/\s+/g, ' ').trim(), instead }
          })
        }
      }
    }
  })
}

/** For files that are not code: an empty program, whose text rules may read. */
const prose = {
  meta: { name: 'prose' },
  parseForESLint (text) {
    const lines = text.split('\n')
    const end = { line: lines.length, column: lines.at(-1).length }
    return {
      ast: {
        type: 'Program',
        sourceType: 'module',
        body: [],
        comments: [],
        tokens: [],
        range: [0, text.length],
        loc: { start: { line: 1, column: 0 }, end }
      }
    }
  }
}

export default { rules: { 'plain-words': plainWords }, prose }
