import { setTimeout as delay } from 'node:timers/promises'
import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { journeys } from './client-list.js'
import { hostedTargets } from './hosted-targets.js'
import { targetOf } from './targets.js'
import { visitAtOnce } from './visits.js'

/*
 * Clients at a running service: the sample server's, or one that hosts somebody else's server.
 * With each client, two people log in at the same time, call tools, and find what is theirs and not the other's.
 */
// two of each, and ten are the limit
const CLIENTS_PER_MINUTE = 5
const { positionals: [chosen = 'start'] } = scriptArguments(
  'npx tsx test/e2e/clients.ts [start | consumer | dist-redis | HOSTED | URL]'
)
const target = await targetOf(chosen, {}, hostedTargets)
const report = new Report(`Clients at ${chosen}, ${target.url}`)
for (const [index, { name, journey }] of journeys.entries()) {
  // an address may bring so many new clients in a minute
  if (index > 0 && index % CLIENTS_PER_MINUTE === 0) await delay(60_000)
  await report.attempt(name, () => visitAtOnce(journey, target.url, target.use))
}
await target.stop()
report.end()
