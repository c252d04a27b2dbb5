import t from 'tap'
import { places } from '../hosted/piped.js'
import { startMcp } from '../support/mcp-harness.js'
import { featureClients } from './feature-clients.js'
import { FeatureServer } from './feature-server.js'
import { features } from './feature-tests.js'

for (const [name, connect] of Object.entries(featureClients)) {
  for (const [where, host] of Object.entries(places)) {
    t.test(`${name}, ${where}`, async t => {
      const plug = new FeatureServer()
      const service = await startMcp(t, { createServer: host(plug.createServer) })
      const client = await connect(service)
      t.teardown(() => client.close())
      for (const [what, test] of Object.entries(features)) await t.test(what, t => test(t, client, plug))
    })
  }
}
