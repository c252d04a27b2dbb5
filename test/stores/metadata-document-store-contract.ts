import type { Test } from 'tap'
import type { MetadataDocumentRecord, MetadataDocumentStore } from '../../src/stores/metadata-documents.js'
import { epoch, type Make, type Replicas } from './backend.js'

/** What every `MetadataDocumentStore` keeps. */
export async function metadataDocumentStoreContract (
  t: Test,
  make: Make<MetadataDocumentStore, { maxEntries: number }>
): Promise<void> {
  let made: Replicas<MetadataDocumentStore> = await make(t, { maxEntries: 3 })
  t.beforeEach(async t => { made = await make(t, { maxEntries: 3 }) })

  const record = (name: string, seconds: number): MetadataDocumentRecord => ({
    clientId: `https://${name}.example/client.json`,
    metadata: { redirect_uris: [`https://${name}.example/`] },
    freshUntil: epoch(made.clock),
    staleUntil: epoch(made.clock, seconds)
  })
  const found = async (name: string) => await made.replicas.at(-1)?.find(`https://${name}.example/client.json`)

  await t.test('a document is found on every replica, as it was put last', async t => {
    const [replica] = made.replicas
    t.equal(await found('a'), undefined)
    const first = record('a', 60)
    await replica.put(first)
    t.strictSame(await found('a'), first)
    await replica.put({ ...record('a', 90), metadata: { redirect_uris: [] } })
    t.strictSame((await found('a'))?.metadata, { redirect_uris: [] })
    await replica.remove(record('a', 60).clientId)
    t.equal(await found('a'), undefined)
    await replica.remove(record('a', 60).clientId)
  })

  await t.test('it ends', async t => {
    await made.replicas[0].put(record('a', 2))
    t.ok(await found('a'))
    await made.clock.pass(2.1)
    t.equal(await found('a'), undefined)
  })

  await t.test('so many and no more', async t => {
    const [replica] = made.replicas
    const records = ['a', 'b', 'c', 'd'].map((name, index) => record(name, 60 + index))
    for (const record of records) await replica.put(record)
    t.strictSame([await found('a'), await found('b')], [undefined, records[1]], 'the one that ends first has gone')
    await replica.put(record('b', 120))
    await replica.put(record('e', 90))
    t.equal(await found('c'), undefined)
    t.ok(await found('b'), 'and not one that was put again')
  })
}
