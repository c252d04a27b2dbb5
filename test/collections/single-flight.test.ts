import t from 'tap'
import { SingleFlight } from '../../src/collections/single-flight.js'

t.test('who asks while it runs gets the same outcome, and nobody else', async t => {
  const flight = new SingleFlight<string, number>()
  let runs = 0
  const work = async () => {
    const run = ++runs
    await Promise.resolve()
    return run
  }
  t.strictSame(await Promise.all(['a', 'a', 'b'].map(key => flight.run(key, work))), [1, 1, 2])
  t.equal(await flight.run('a', work), 3, 'it is not remembered')
})

t.test('a failure is shared, and not remembered', async t => {
  const flight = new SingleFlight<string, string>()
  const fail = async () => await Promise.reject(new Error('once'))
  const outcomes = await Promise.allSettled([flight.run('a', fail), flight.run('a', async () => 'never')])
  t.match(outcomes, [{ reason: { message: 'once' } }, { reason: { message: 'once' } }])
  t.equal(await flight.run('a', async () => 'again'), 'again')
})
