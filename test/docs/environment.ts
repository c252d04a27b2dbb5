import type { TSchema } from '@sinclair/typebox'
import { accepts, EnvironmentSchema } from '../../src/config/environment.js'

const variables: Array<[name: string, schema: TSchema]> = Object.entries(EnvironmentSchema.properties)

const WIDTH = 120

/** The text of `.env.example`. */
export function envExample (): string {
  const entries = variables.map(([name, schema]) => {
    const values = schema.anyOf === undefined ? '' : ` (${accepts(name)})`
    const meaning = wrap(`${schema.description}${values}`, WIDTH - 2).map(line => `# ${line}\n`).join('')
    return `${meaning}# ${name}=${schema.default ?? ''}\n`
  })
  return ['# Every variable with its default. Copy to .env and uncomment what you change.\n', ...entries].join('\n')
}

/** The text of `docs/configuration.md`. */
export function configurationPage (): string {
  const rows = variables.map(([name, schema]) =>
    `| \`${name}\` | ${escape(String(schema.description))} | ${escape(accepts(name))} | ${
      schema.default === undefined || schema.default === '' ? '' : `\`${String(schema.default)}\``
    } |`
  )
  return `# Configuration

Every environment variable that the service reads, from the process or from \`.env\`. To create one, copy
\`.env.example\`, which has the same list. An invalid value stops the start with one line that names the variable, its
value, and what is allowed. An empty value counts as not set. \`npm run docs\` generates this page from
\`src/config/environment.ts\`.

| variable | meaning | takes | default |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}

function escape (text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

function wrap (text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)} ${word}`.trim()
    if (line.length > width) lines.push(word)
    else lines.splice(-1, 1, line)
  }
  return lines
}
