import { connect, createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { freePort } from '../support/free-port.js'
import { find } from '../support/programs.js'
import { reachable, redisTest, RedisServer } from '../support/redis-server.js'

/* What Redis says when it cannot run a script now, in the words of its versions. */

const SENTENCE = "You can't write against a read only replica."
const VERSIONS: Record<string, (code: string) => string> = {
  'Redis 7 and 8, Valkey': code => `${code} ${SENTENCE} script: f_b1946ac9, on @user_script:5.`,
  'Redis 5 and 6': code =>
    `ERR Error running script (call to f_b1946ac9): @user_script:5: @user_script: 5: -${code} ${SENTENCE}`
}
const CODES = ['LOADING', 'BUSY', 'READONLY', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'NOREPLICAS', 'MISCONF', 'OOM']

/** Stands between a client and a Redis that may not be written to, and says so in other words. */
class Rewording {
  /** Where connections lead to from now on. */
  port: number
  #text = ''
  readonly #server: Server

  constructor (port: number) {
    this.port = port
    this.#server = createServer(client => {
      const redis = connect(this.port, '127.0.0.1')
      client.on('data', data => { redis.write(data) }).on('close', () => { redis.destroy() }).on('error', () => {})
      redis.on('data', data => { client.write(this.#reword(data)) }).on('close', () => { client.destroy() })
      redis.on('error', () => {})
    })
  }

  async listen (port: number): Promise<void> {
    await once(this.#server.listen(port, '127.0.0.1'), 'listening')
  }

  say (text: string): void {
    this.#text = text
  }

  close (): void {
    this.#server.close()
  }

  #reword (data: Buffer): Buffer {
    return Buffer.from(data.toString('latin1').replaceAll(/^-READONLY [^\r]*/gm, `-${this.#text}`), 'latin1')
  }
}

redisTest('an error inside of a script', async (t, primary) => {
  const replica = new RedisServer(find('redis-server') ?? '', await freePort(), [
    '--replicaof', '127.0.0.1', String(primary.port)
  ])
  t.teardown(() => replica.end())
  await replica.start()
  const between = new Rewording(replica.port)
  const port = await freePort()
  await between.listen(port)
  t.teardown(() => { between.close() })
  for (const [version, text] of Object.entries(VERSIONS)) {
    const stores = createRedisStores({ url: `redis://127.0.0.1:${port}`, sessionIdleSeconds: 60 })
    t.teardown(() => stores.close())
    await reachable(stores)
    const write = () => stores.eventLog.append('s', 'get', [{ data: 'x' }])
    for (const code of CODES) {
      between.say(text(code))
      while (!await stores.check().then(() => true, () => false)) await delay(10)
      const error: unknown = await write().then(() => undefined, (error: unknown) => error)
      t.ok(error instanceof TemporarilyUnavailableError, `${code} of ${version}`)
    }
    between.say('ERR Error running script (call to f_1): @user_script:1: unknown OOM of ours')
    await t.rejects(write(), /unknown OOM of ours/, 'another error stays what it is')

    between.say(text('READONLY'))
    await write().catch(() => {})
    between.port = primary.port
    await write().catch(() => {})
    while (!await write().then(() => true, () => false)) await delay(10)
    t.pass(`${version}: it connects again, which leads to the primary now`)
    between.port = replica.port
  }
})
