import type { TSchema } from '@sinclair/typebox'
import { accepts, EnvironmentSchema } from '../../src/config/environment.js'

const variables: Array<[name: string, schema: TSchema]> = Object.entries(EnvironmentSchema.properties)

/** The text of `.env.example`. */
export function envExample (): string {
  const entries = variables.map(([name, schema]) => {
    const values = schema.anyOf === undefined ? '' : ` (${accepts(name)})`
    return `# ${schema.description}${values}\n# ${name}=${schema.default ?? ''}\n`
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

Every environment variable that the service reads, from the process or from \`.env\` (\`.env.example\` has the same list to copy
from). A bad value stops the start with one line that names the variable, what it got and what it takes; an empty one
counts as not set. Made from the schema in \`src/config/environment.ts\` by \`npm run docs\`.

| variable | meaning | takes | default |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}

function escape (text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}
