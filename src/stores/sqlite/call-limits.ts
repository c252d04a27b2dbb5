import type { CallBucket } from '../call-limits.js'
import { makeMaps } from '../memory/call-limits.js'
import type { ExpiringMapOptions } from '../memory/expiring-map.js'
import { HoldersApart } from '../rules/holders-apart.js'
import { KeptCallLimits, type RunningBuckets, type UsedBuckets, type UsedCalls } from '../rules/call-limits.js'
import type { SqliteDatabase } from './database/database.js'
import { ExpiringTable } from './database/expiring-table.js'
import { readRecord } from './json.js'

/**
 * How much is called. What was used of a minute and a day is in a table: a quota does not begin again with the process.
 * The calls that run are in memory: they end with it.
 */
export class SqliteCallLimitStore extends KeptCallLimits {
  readonly #running: ReadonlyArray<{ close (): void }>

  constructor (database: SqliteDatabase, options: ExpiringMapOptions = {}) {
    const running = makeMaps<RunningBuckets>(options)
    const makeTable = (name: 'used_calls' | 'anonymous_used_calls') =>
      new ExpiringTable<UsedBuckets>(database, {
        ...options,
        name,
        codec: {
          write: buckets => JSON.stringify([...buckets]),
          read: text => new Map(readRecord<Array<[string, UsedCalls]>>(text))
        }
      })
    const used = new HoldersApart(makeTable('used_calls'), makeTable('anonymous_used_calls'))
    super(used, new HoldersApart(...running), options.now)
    this.#running = running
  }

  override giveBack (holder: string, buckets: readonly CallBucket[]): void {
    try {
      super.giveBack(holder, buckets)
    } catch {
      // the error that leads here is the one to report; what cannot be written counts as called
    }
  }

  /** Stops the housekeeping. */
  close (): void {
    for (const map of this.#running) map.close()
  }
}
