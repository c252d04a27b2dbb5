import t from 'tap'
import { eraClients } from '../../eras/era-clients.js'
import { eraFeatures } from '../../eras/era-features.js'
import { EraPlug, eraServers } from '../../eras/era-servers.js'
import { startMcp } from '../../support/mcp-harness.js'
import { eraPlaces, remotePlaces } from './remote-places.js'

/*
 * Every era in front of every kind behind. Clients in automatic negotiation come to the same as these.
 */

const MODERN = 'SDK 2.x client, pinned to 2026-07-28'
/** Of the two that are not, one for each server. */
const clientsOf = (server: string) =>
  [MODERN, server.includes('1.x') ? 'SDK 1.x client' : 'SDK 2.x client, in legacy mode']

for (const [serverName, createServer] of Object.entries(eraServers)) {
  for (const [where, host] of Object.entries({ ...remotePlaces, ...eraPlaces })) {
    for (const [clientName, { modern, connect }] of Object.entries(eraClients)) {
      if (!clientsOf(serverName).includes(clientName)) continue
      t.test(`${clientName}; ${serverName}, ${where}`, async t => {
        const plug = new EraPlug()
        const service = await startMcp(t, { createServer: await host(createServer(plug), t) })
        const client = await connect(service.url)
        t.teardown(() => client.close())
        for (const [what, test] of Object.entries(eraFeatures)) {
          await t.test(what, t => test(t, { client, plug, modern }))
        }
      })
    }
  }
}
