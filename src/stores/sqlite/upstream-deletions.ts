import {
  MAX_DELETION_ATTEMPTS,
  MAX_DELETION_PAUSE_SECONDS,
  MAX_UPSTREAM_DELETIONS,
  type UpstreamDeletion,
  type UpstreamDeletionQueue
} from '../upstream-deletions.js'
import type { Command, Query, SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'
import { toMs } from './database/expiring-table.js'

export interface SqliteUpstreamDeletionQueueOptions {
  /** What may wait at once. Default: 10,000. */
  max?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** Deletions at the upstream that wait in a table. */
export class SqliteUpstreamDeletionQueue implements UpstreamDeletionQueue {
  readonly #database: SqliteDatabase
  readonly #max: number
  readonly #now: () => number
  readonly #count: Query<{ entries: number }>
  readonly #add: Command
  readonly #due: Query<{ sealed: string, clientId: string, attempts: number }>
  readonly #putOff: Command
  readonly #remove: Command

  constructor (
    database: SqliteDatabase,
    { max = MAX_UPSTREAM_DELETIONS, now = Date.now }: SqliteUpstreamDeletionQueueOptions = {}
  ) {
    this.#database = database
    this.#max = max
    this.#now = now
    this.#count = database.query("SELECT entries FROM totals WHERE counted = 'upstream_deletions'")
    this.#add = database.command(
      'INSERT OR REPLACE INTO upstream_deletions (sealed, client_id, due_at) VALUES (?, ?, 0)'
    )
    this.#due = database.query(
      `SELECT ${text('sealed')}, ${text('client_id', 'clientId')}, attempts FROM upstream_deletions ` +
        'WHERE due_at <= ? ORDER BY due_at LIMIT ?'
    )
    this.#putOff = database.command(
      'UPDATE upstream_deletions SET attempts = attempts + 1, due_at = ? WHERE sealed = ?'
    )
    this.#remove = database.command('DELETE FROM upstream_deletions WHERE sealed = ?')
  }

  async add (deletions: readonly UpstreamDeletion[]): Promise<number> {
    return this.#database.step(() => {
      let refused = 0
      for (const { clientId, sealed } of deletions) {
        if ((this.#count()[0]?.entries ?? 0) >= this.#max) refused++
        else this.#add(sealed, clientId)
      }
      return refused
    })
  }

  async claim (limit: number, leaseSeconds: number): Promise<UpstreamDeletion[]> {
    return this.#database.step(() => {
      const due = this.#due(this.#now(), limit)
      for (const { sealed, attempts } of due) {
        const pause = Math.min(leaseSeconds * 2 ** attempts, MAX_DELETION_PAUSE_SECONDS)
        if (attempts + 1 >= MAX_DELETION_ATTEMPTS) this.#remove(sealed)
        else this.#putOff(this.#now() + toMs(pause), sealed)
      }
      return due.map(({ clientId, sealed }) => ({ clientId, sealed }))
    })
  }

  async done ({ sealed }: UpstreamDeletion): Promise<void> {
    this.#remove(sealed)
  }
}
