import { fences, inlineCode } from './pages.js'

/** A command that a page shows people to type. */
export interface Command {
  /** Page and line. */
  where: string
  text: string
  /** What the page shows of its output; `…` stands for anything. */
  shown: string[]
}

// what a sentence names as a command begins with one of these, or with variables before it
const PROGRAMS =
  /^(?:[A-Z_]+=\S+ )*(?:npm|npx|node|docker|kubectl|openssl|curl|claude|code|codex|gemini|nginx|redis-cli|redis-server|git) \S/

/** Every command of the docs, each line of `sh`, each `$` of `console`, and those in sentences. */
export function commands (): Command[] {
  const typed = fences().flatMap(({ page, line, language, text }) => {
    const lines = text.trimEnd().split('\n').map((text, index) => ({ where: `${page}:${line + index}`, text }))
    if (language === 'sh') return lines.flatMap(({ where, text }) => steps(where, text.replace(/\s+#.*$/, '')))
    if (language === 'console') {
      return lines.flatMap(({ where, text }, at) =>
        text.startsWith('$ ') ? [{ where, text: text.slice(2), shown: outputAfter(lines, at) }] : []
      )
    }
    return []
  })
  const said = inlineCode().filter(({ text }) => PROGRAMS.test(text)).flatMap(({ page, line, text }) =>
    steps(`${page}:${line}`, text)
  )
  return [...typed, ...said]
}

function steps (where: string, line: string): Command[] {
  return line.split(' && ').map(text => ({ where, text, shown: [] }))
}

function outputAfter (lines: ReadonlyArray<{ text: string }>, at: number): string[] {
  const output = lines.slice(at + 1).map(({ text }) => text)
  const next = output.findIndex(text => text.startsWith('$ '))
  return next < 0 ? output : output.slice(0, next)
}
