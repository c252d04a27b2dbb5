import { join } from 'node:path'
import type { Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createSqliteStores } from '../../src/stores/sqlite/stores.js'
import type { Stores } from '../../src/stores/stores.js'

const options = { sessionIdleSeconds: 60 }

/** Closed with the test. */
function closing (t: Test, stores: Stores): Stores {
  t.teardown(() => stores.close())
  return stores
}

/** What one process keeps for itself, by where. */
export const keptStores: Record<string, (t: Test) => Stores> = {
  memory: t => closing(t, createMemoryStores(options)),
  SQLite: t => closing(t, createSqliteStores({ ...options, file: join(t.testdir({}), 'state.sqlite') }))
}
