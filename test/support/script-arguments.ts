import { parseArgs } from 'node:util'

/** What stands on the command line of a script. */
export interface ScriptArguments {
  positionals: string[]
  /** The value of an option that has a number for its default. */
  number (option: string): number
  /** Whether an option without a value is there. */
  flag (option: string): boolean
}

/**
 * Reads a command line by its usage: `npx tsx some.ts [start | URL] [--rounds 3] [--logs]`. A number beside an option
 * is its default; words in capitals stand for any; of words between bars there may be one, of others several.
 * @throws {Error} for what the usage does not have
 */
export function parseByUsage (usage: string, args: string[]): ScriptArguments {
  const parts = [...usage.matchAll(/\[([^\]]+)\]/g)].map(([, part = '']) => part)
  const defaults = new Map(parts.filter(part => part.startsWith('--')).map(part => {
    const [option = '', fallback] = part.slice(2).split(' ')
    return [option, fallback]
  }))
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: Object.fromEntries(
      [...defaults].map(([option, fallback]) => [option, { type: fallback === undefined ? 'boolean' : 'string' }])
    )
  })
  const number = (option: string) => Number(values[option] ?? defaults.get(option))
  for (const [option, fallback] of defaults) {
    if (fallback !== undefined && !(number(option) > 0)) throw new Error(`--${option} takes a number.`)
  }

  const words = parts.find(part => !part.startsWith('--')) ?? ''
  const known = words.split(/ (?:\| )?/)
  const strange = positionals.find(word => !known.includes(word) && !known.some(name => /^[A-Z]+$/.test(name)))
  if (strange !== undefined) throw new Error(`${strange} is not one of: ${words}`)
  if (positionals.length > 1 && (words.includes('|') || known.length === 1)) {
    throw new Error(`There is more than one of: ${words}`)
  }
  return { positionals, number, flag: option => values[option] === true }
}

/**
 * Reads the command line of this process. `--help` ends it with the usage; what the usage does not have does so, too,
 * with 2.
 */
export function scriptArguments (usage: string): ScriptArguments {
  const args = process.argv.slice(2)
  try {
    const parsed = parseByUsage(usage, args.filter(word => word !== '--help'))
    if (!args.includes('--help')) return parsed
    process.stdout.write(`Usage: ${usage}\n`)
    process.exit(0)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\nUsage: ${usage}\n`)
    process.exit(2)
  }
}
