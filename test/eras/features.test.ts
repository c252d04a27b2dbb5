import t from 'tap'
import { places } from '../hosted/piped.js'
import { startMcp } from '../support/mcp-harness.js'
import { eraClients } from './era-clients.js'
import { eraFeatures } from './era-features.js'
import { EraPlug, eraServers } from './era-servers.js'

for (const [serverName, createServer] of Object.entries(eraServers)) {
  for (const [clientName, { modern, connect }] of Object.entries(eraClients)) {
    for (const [where, host] of Object.entries(places)) {
      t.test(`${clientName}; ${serverName}, ${where}`, async t => {
        const plug = new EraPlug()
        const service = await startMcp(t, { createServer: host(createServer(plug)) })
        const client = await connect(service.url)
        t.teardown(() => client.close())
        for (const [what, test] of Object.entries(eraFeatures)) {
          await t.test(what, t => test(t, { client, plug, modern }))
        }
      })
    }
  }
}
