import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { journeys } from './client-list.js'
import { targetOf } from './targets.js'

/*
 * Clients at a running service.
 * Each logs in, calls `add` with 2 and 3, and gets 5.
 */
const { positionals: [chosen = 'start'] } = scriptArguments(
  'npx tsx test/e2e/clients.ts [start | consumer | dist-redis | URL]'
)
const target = await targetOf(chosen)
const report = new Report(`Clients at ${chosen}, ${target.url}`)
for (const { name, journey } of journeys) await report.attempt(name, () => journey(target.url))
await target.stop()
report.end()
