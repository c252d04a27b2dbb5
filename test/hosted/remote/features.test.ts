import t from 'tap'
import { featureClients } from '../../mcp/feature-clients.js'
import { FeatureServer } from '../../mcp/feature-server.js'
import { features } from '../../mcp/feature-tests.js'
import { startMcp } from '../../support/mcp-harness.js'
import { remotePlaces } from './remote-places.js'

for (const [name, connect] of Object.entries(featureClients)) {
  for (const [where, host] of Object.entries(remotePlaces)) {
    t.test(`${name}, ${where}`, async t => {
      const plug = new FeatureServer()
      const service = await startMcp(t, { createServer: await host(plug.createServer, t) })
      const client = await connect(service)
      t.teardown(() => client.close())
      for (const [what, test] of Object.entries(features)) await t.test(what, t => test(t, client, plug))
    })
  }
}
