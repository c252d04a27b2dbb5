import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { examineStore } from '../../src/doctor/store.js'
import { Findings } from '../../src/doctor/findings.js'
import { Keyring } from '../../src/oauth/keyring.js'
import { compareKeys } from '../../src/oauth/replica-keys.js'
import { parseJson } from '../support/json.js'
import { redisTest, type RedisServer } from '../support/redis-server.js'
import { startService } from '../support/service.js'
import { faults, outside } from './deployments.js'

const newKey = () => randomBytes(32).toString('base64url')
const [a, b, c] = [newKey(), newKey(), newKey()]

/** What fits together, and what does not: the keys of two replicas, and the ids that the fault names. */
const PAIRS: ReadonlyArray<[name: string, one: string, other: string, ids: string[] | undefined]> = [
  ['the same key', `1:${a}`, `1:${a}`, undefined],
  ['one more, behind', `1:${a}`, `1:${a},2:${b}`, undefined],
  ['one more, in front', `1:${a}`, `2:${b},1:${a}`, undefined],
  ['another order', `1:${a},2:${b}`, `2:${b},1:${a}`, undefined],
  ['one each besides the common one', `1:${a},2:${b}`, `1:${a},3:${c}`, undefined],
  ['another value', `1:${a}`, `1:${b}`, ['1']],
  ['another value besides a common key', `1:${a},2:${b}`, `1:${a},2:${c}`, ['2']],
  ['two other values', `1:${a},2:${b}`, `1:${b},2:${a}`, ['1', '2']],
  ['no common key', `1:${a}`, `2:${b}`, []],
  ['the same key under another id', `1:${a}`, `2:${a}`, []]
]

/** The keys of both, as each writes them down. */
const fingerprints = (...keys: string[]) =>
  keys.map((keys, index) => ({ host: `host-${index}`, fingerprints: new Keyring(keys).fingerprints }))

t.test('which keys fit together', async t => {
  for (const [name, one, other, ids] of PAIRS) {
    for (const pair of [fingerprints(one, other), fingerprints(other, one)]) {
      t.same(compareKeys(pair).map(difference => difference.ids), ids === undefined ? [] : [ids], name)
    }
  }
  const many = compareKeys(fingerprints(`1:${a}`, `1:${a},2:${b}`, `2:${b}`, `2:${b}`))
  t.match(many, [{ ids: [], text: 'host-0 ("1") and host-3 ("2") have no key in common' }], 'each with each, once')
  t.notOk(JSON.stringify(new Keyring(`1:${a}`).fingerprints).includes(a), 'a key is not in its fingerprint')
})

const LogLine = z.object({ msg: z.string(), keyIds: z.array(z.string()).optional() })

/** A replica. @returns what it logs at level error */
async function replica (t: Test, server: RedisServer, keys: string) {
  const errors: Array<z.output<typeof LogLine>> = []
  const service = await startService(t, { REDIS_URL: server.url, ENCRYPTION_KEYS: keys, LOG_LEVEL: 'error' }, {}, {
    logStream: { write (line) { errors.push(parseJson(line, LogLine)) } }
  })
  return { errors, service }
}

/** What the doctor finds in the store. */
async function examine (server: RedisServer, encryptionKeys: string, keyPrefix = 'mcp') {
  const findings = new Findings()
  await examineStore({ url: server.url, keyPrefix, encryptionKeys }, findings)
  return findings.all
}

redisTest('a replica with other keys', async (t, server) => {
  t.match(await examine(server, `1:${a}`), [{ check: 'store', level: 'ok' }, { check: 'keys', says: /no replica/ }])
  const first = await replica(t, server, `1:${a}`)
  const rotating = await replica(t, server, `2:${b},1:${a}`)
  t.same([first.errors, rotating.errors], [[], []])
  t.match(await examine(server, `1:${a}`), [{ check: 'store' }, { check: 'keys', level: 'ok', says: /2 running/ }])
  t.match(await examine(server, `1:${c}`), [{ check: 'store' }, { check: 'keys', level: 'error' }, { level: 'error' }])

  const wrong = await replica(t, server, `1:${c}`)
  t.match(wrong.errors, [{ msg: /the key "1" of .* differ/, keyIds: ['1'] }, { keyIds: ['1'] }])
  t.match((await examine(server, `1:${a}`)).filter(({ level }) => level === 'error'), [
    { check: 'keys', says: /the key "1" of this environment and of .* \(process \d+\) differ/, fix: /same ENCRYPTION_KEYS/ },
    { check: 'keys' }
  ])
  await wrong.service.app.close()
  t.match(await examine(server, `1:${a}`), [{ check: 'store' }, { check: 'keys', level: 'ok', says: /2 running/ }])
})

redisTest('Redis is down', async (t, server) => {
  const { service } = await replica(t, server, `1:${a}`)
  t.same(faults(await outside(service.url)), ['session'], 'as long as it runs')
  await server.stop()
  const found = await outside(service.url)
  t.match(found.filter(({ level }) => level === 'error'), [
    { check: 'ready', says: /cannot reach its store/, fix: /REDIS_URL/ },
    { check: 'registration', says: /503/, fix: /cannot serve at the moment/ }
  ])
  t.notMatch(found.map(({ fix }) => fix).join(), /Allow registration/)
  t.match(await examine(server, `1:${a}`), [{ check: 'store', level: 'error', fix: /Check REDIS_URL/ }])
})
