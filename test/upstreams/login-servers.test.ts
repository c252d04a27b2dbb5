import t from 'tap'
import { loginServerCases, situate } from './login-server-cases.js'
import { loginServers } from './shapes/list.js'

/* Every login server of the list × everything that is tried, with the settings of its recipe in docs/upstreams. */

for (const server of loginServers) {
  t.test(server.name, async t => {
    const situation = await situate(t, server)
    for (const { name, run } of loginServerCases.filter(({ applies }) => applies(server))) {
      await t.test(`${server.name}: ${name}`, async t => {
        situation.running.restore()
        await run(t, situation)
      })
    }
  })
}
