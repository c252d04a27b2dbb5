import type { Test } from 'tap'
import { MAX_CONSENTS_OF_ONE, type ConsentRecord, type ConsentStore } from '../../src/stores/consents.js'
import { epoch, type Clock, type Make } from './backend.js'

function consentOf (clock: Clock, clientId: string, more: Partial<ConsentRecord> = {}): ConsentRecord {
  return {
    clientId,
    redirectUri: 'https://app.example/callback',
    resource: 'https://mcp.example/mcp',
    scopes: ['mcp'],
    expiresAt: epoch(clock, 100),
    ...more
  }
}

/** What every `ConsentStore` keeps to. */
export async function consentStoreContract (t: Test, makeStore: Make<ConsentStore>): Promise<void> {
  t.test('a consent is for one person, client, redirect URI and resource', async t => {
    const { replicas, clock } = await makeStore(t, {})
    const consent = consentOf(clock, 'client')
    await replicas[0].remember('alice', consent)
    for (const replica of replicas) t.strictSame(await replica.find('alice', consent), consent)
    const [store] = replicas
    for (
      const [person, key] of [
        ['bob', consent],
        ['', consent],
        ['__proto__', consent],
        ['alice', { ...consent, clientId: 'another' }],
        ['alice', { ...consent, redirectUri: 'https://app.example/other' }],
        ['alice', { ...consent, resource: 'https://mcp.example/sse' }]
      ] as const
    ) t.equal(await store.find(person, key), undefined)
    const found = await store.find('alice', consent)
    found?.scopes.push('admin')
    t.same((await store.find('alice', consent))?.scopes, ['mcp'], 'who changes what they got changes nothing')
    await store.remember('alice', { ...consent, scopes: ['mcp', 'files'] })
    t.same((await store.find('alice', consent))?.scopes, ['mcp', 'files'], 'the last one stands')
  })

  t.test('it is forgotten by client, or altogether', async t => {
    const { replicas, clock } = await makeStore(t, {})
    const [store] = replicas
    const other = { redirectUri: 'https://app.example/other' }
    for (const person of ['alice', 'bob']) {
      for (const consent of [consentOf(clock, 'a'), consentOf(clock, 'a', other), consentOf(clock, 'b')]) {
        await store.remember(person, consent)
      }
    }
    await store.forget('alice', 'a')
    for (const replica of replicas) {
      t.equal(await replica.find('alice', consentOf(clock, 'a')), undefined)
      t.equal(await replica.find('alice', consentOf(clock, 'a', other)), undefined)
      t.ok(await replica.find('alice', consentOf(clock, 'b')))
      t.ok(await replica.find('bob', consentOf(clock, 'a')))
    }
    await store.forget('bob')
    await store.forget('nobody')
    for (const client of ['a', 'b']) t.equal(await store.find('bob', consentOf(clock, client)), undefined)
    t.ok(await store.find('alice', consentOf(clock, 'b')))
  })

  t.test('it expires', async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    await store.remember('alice', consentOf(clock, 'long'))
    await store.remember('alice', consentOf(clock, 'short', { expiresAt: epoch(clock, 2) }))
    t.ok(await store.find('alice', consentOf(clock, 'short')))
    await clock.pass(2.1)
    t.equal(await store.find('alice', consentOf(clock, 'short')), undefined)
    t.ok(await store.find('alice', consentOf(clock, 'long')))
  })

  t.test('a person has so many; those that end first go', async t => {
    const { replicas: [store], clock } = await makeStore(t, {})
    await store.remember('bob', consentOf(clock, 'of bob', { expiresAt: epoch(clock, 50) }))
    for (let index = 0; index < MAX_CONSENTS_OF_ONE + 2; index++) {
      await store.remember('alice', consentOf(clock, `client-${index}`, { expiresAt: epoch(clock, 100 + index) }))
    }
    const standing = await Promise.all(
      Array.from({ length: MAX_CONSENTS_OF_ONE + 2 }, async (_, index) =>
        await store.find('alice', consentOf(clock, `client-${index}`)) !== undefined)
    )
    t.same(standing, [false, false, ...Array<boolean>(MAX_CONSENTS_OF_ONE).fill(true)])
    t.ok(await store.find('bob', consentOf(clock, 'of bob')), 'nobody loses any for another\'s')
  })
}
