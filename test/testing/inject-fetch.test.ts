import Fastify from 'fastify'
import { Readable } from 'node:stream'
import t from 'tap'
import { injectFetch } from '../../src/testing/index.js'

t.test('a response that is cancelled as it ends harms nobody', async t => {
  const uncaught: unknown[] = []
  const note = (error: unknown) => { uncaught.push(error) }
  process.on('uncaughtExceptionMonitor', note)
  t.teardown(() => { process.off('uncaughtExceptionMonitor', note) })
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/ends', async () => Readable.from(['one', 'two']))
  app.get('/breaks', async () => Readable.from((async function * () { yield 'one'; throw new Error('broken') })()))
  const fetch = injectFetch(app)

  t.equal(await (await fetch('http://localhost/ends')).text(), 'onetwo')
  await t.rejects((await fetch('http://localhost/breaks')).text())
  for (let turns = 0; turns < 20; turns++) {
    const response = await fetch('http://localhost/ends')
    const reader = response.body?.getReader()
    for (let reads = 0; reads < turns % 4; reads++) await reader?.read()
    const ending = reader?.read()
    await reader?.cancel()
    await ending
    const unread = await fetch('http://localhost/breaks')
    await unread.body?.cancel()
  }
  await new Promise(resolve => { setImmediate(resolve) })
  t.same(uncaught, [])
})
