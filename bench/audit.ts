import { randomBytes } from 'node:crypto'
import { compare } from './compare.js'

/*
 * What a policy and the audit log cost: W1 of the service with neither, with each and with both, in turn, each time in
 * a new process. It fails if the median with both is less than 0.9 of that with neither. It takes a quarter of an hour:
 * the figure is close to that.
 */
const LEAST_RATIO = 0.9
const keys = `bench:${randomBytes(32).toString('base64url')}`

await compare({
  usage: 'npx tsx bench/audit.ts',
  server: 'recorded',
  variants: ['plain', 'policy', 'audit', 'both'],
  starts: 24,
  parametersOf: (variant, folder) => [variant, folder, keys],
  least: {
    variant: 'both',
    ratio: LEAST_RATIO,
    says: `With both, it is less than ${LEAST_RATIO} of what it is with neither.`
  }
})
