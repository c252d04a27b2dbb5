import { join } from 'node:path'
import { compare } from './compare.js'

/*
 * What a state in a file costs: W1 of the service over memory and over SQLite, in turn, each time in a new process. It
 * fails if the median over SQLite is less than 0.95 of that over memory.
 */
const LEAST_RATIO = 0.95

await compare({
  usage: 'npx tsx bench/durable.ts',
  server: 'durable',
  variants: ['memory', 'sqlite'],
  parametersOf: (variant, folder) => variant === 'memory' ? [] : [join(folder, 'state.sqlite')],
  least: {
    variant: 'sqlite',
    ratio: LEAST_RATIO,
    says: `Over SQLite, it is less than ${LEAST_RATIO} of what it is over memory.`
  }
})
