import { parse } from 'shell-quote'
import { ConfigError } from '../../errors.js'
import { isTemplate } from '../../hosted/stdio/options/templates.js'

/** A program and its arguments. */
export interface CommandLine {
  command: string
  args: string[]
}

const QUOTED = /\\.|'[^']*'|"(?:\\.|[^"\\])*"/gs
const SINGLE_QUOTED = /\\.|'[^']*'/gs

/**
 * Splits a command as a shell does, but there is none: only quotes and backslashes mean anything.
 * @param name of the setting, for errors
 * @throws {ConfigError} with one line, if it needs a shell
 */
export function parseCommandLine (name: string, text: string): CommandLine {
  const refuse = (why: string) => new ConfigError(
    `${name} ${why}; it takes a program and its arguments. There is no shell: quote what is to be taken as it is, or ` +
      'put the command in a script.'
  )
  if (/['"]/.test(text.replace(QUOTED, ''))) throw refuse('has a quote that is not closed')
  if (text.replace(SINGLE_QUOTED, '').includes('`')) throw refuse('has a command in `…`')
  const words: string[] = []
  for (const token of parse(text, variable => isTemplate(variable) ? `\${${variable}}` : { op: `$${variable}` })) {
    if (typeof token !== 'string') throw refuse(`has ${describe(token)}`)
    if (/^~(?:\/|$)/.test(token)) throw refuse('has the home directory as ~')
    words.push(token)
  }
  const [command, ...args] = words
  if (command === undefined || command === '') throw refuse('is empty')
  if (/^[A-Za-z_]\w*=/.test(command)) throw refuse(`begins with a variable, ${command.split('=', 1).join('')}=`)
  return { command, args }
}

function describe (token: object): string {
  if ('comment' in token) return 'a comment (#)'
  if ('pattern' in token) return `a pattern, ${String(token.pattern)}`
  const operator = 'op' in token ? String(token.op) : ''
  return /^\$\w/.test(operator) ? `a variable, ${operator}` : `an operator, ${operator}`
}
