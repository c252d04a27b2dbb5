import { pages, read } from './pages.js'

const SUMMARY = 'Host a remote MCP server with Fastify for every client there is: Streamable HTTP and HTTP+SSE, ' +
  'revisions 2024-11-05 to 2026-07-28, behind OAuth that is brokered to your own login server.'

/** What stands at the end of README, by the rows of its table, then what it does not name. */
export function llmsText (): string {
  const [, table = ''] = read('README.md').split('\n## More\n')
  const rows = [...table.matchAll(/^\| (\w[^|]*) \| (.+) \|$/gm)].map(([, title = '', links = '']) =>
    ({ title, files: [...links.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, file = '']) => file) })
  )
  const named = new Set(rows.flatMap(({ files }) => files))
  const others = pages.filter(page => page.startsWith('docs/') && !named.has(page)).sort()
  const sections = [...rows, { title: 'Optional', files: others }].filter(({ files }) => files.length > 0)
  return `# fastify-mcp-oauth

> ${SUMMARY}

Paths are those of the repository.

${sections.map(({ title, files }) => `## ${title}\n\n${files.map(line).join('\n')}\n`).join('\n')}`
}

/** A page, with its first sentence. */
function line (file: string): string {
  const text = read(file)
  const title = /^# (.+)$/m.exec(text)?.[1] ?? file
  const [paragraph = ''] = text.split(/\n{2,}/).filter(part => /^[A-Z`[*]/.test(part))
  const plain = paragraph.replaceAll(/\s+/g, ' ').replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1').trim()
  const [sentence = ''] = /^.+?[.:](?= |$)/.exec(plain) ?? []
  return `- [${title}](${file})${sentence === '' ? '' : `: ${sentence.replace(/:$/, '.')}`}`
}
