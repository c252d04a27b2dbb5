import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../support/free-port.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { crash } from './rounds.js'

t.test('kill -9 in the middle of logins and rotations loses nothing that was answered', async t => {
  const upstream = await listeningUpstream(t)
  const { faults, rounds, answered, underWay, accessTokens } = await crash({
    rounds: 3,
    file: join(t.testdir({}), 'state.sqlite'),
    port: await freePort(),
    issuer: upstream.issuer,
    reuseSeconds: 6
  })
  t.strictSame(faults, [])
  t.equal(rounds, 3)
  t.strictSame(underWay, { logins: rounds, rotations: rounds, refreshes: rounds })
  for (const [name, count] of Object.entries({ ...answered, accessTokens })) t.ok(count > 0, `${count} ${name}`)
})
