import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Log } from '../log.js'
import type { RecentLog } from '../stores/attempts.js'
import type { ReplicaKeysRecord } from '../stores/stores.js'
import type { Keyring } from './keyring.js'

type Keys = Pick<ReplicaKeysRecord, 'host' | 'fingerprints'>

/** Two replicas whose keys do not fit together. */
export interface KeyDifference {
  hosts: [string, string]
  /** Ids under which the two have different keys; empty if they have no key in common. */
  ids: string[]
  /** In words, for operators. */
  text: string
}

const ANNOUNCE_MS = 30_000
const OWN_HOST = 'this replica'

/** The replicas that are there, by what they have written: the last entry of each counts. */
export function currentReplicas (entries: readonly ReplicaKeysRecord[]): ReplicaKeysRecord[] {
  return [...new Map(entries.map(entry => [entry.replica, entry])).values()]
    .filter(({ fingerprints }) => Object.keys(fingerprints).length > 0)
}

/**
 * Compares the keys of replicas, each with each. A replica may have more keys than another, in any order: keys are
 * rotated so. Wrong are two different keys with the same id, and replicas without a key in common.
 */
export function compareKeys (replicas: readonly Keys[]): KeyDifference[] {
  // of replicas with the same keys, the last
  const differing = new Map(replicas.map(keys => [JSON.stringify(Object.entries(keys.fingerprints).sort()), keys]))
  const kinds = [...differing.values()]
  return kinds.flatMap((one, index) =>
    kinds.slice(index + 1).map(other => compare(one, other)).filter(difference => difference !== undefined)
  )
}

function compare (one: Keys, other: Keys): KeyDifference | undefined {
  const theirs = new Map(Object.entries(other.fingerprints))
  const shared = Object.entries(one.fingerprints).filter(([id]) => theirs.has(id))
  const ids = shared.filter(([id, fingerprint]) => theirs.get(id) !== fingerprint).map(([id]) => id)
  if (ids.length === 0 && shared.length > 0) return undefined
  const hosts: [string, string] = [one.host, other.host]
  const text = ids.length > 0
    ? `the key${ids.length > 1 ? 's' : ''} ${list(ids)} of ${hosts[0]} and of ${hosts[1]} differ`
    : `${hosts[0]} (${list(Object.keys(one.fingerprints))}) and ${hosts[1]} (${list([...theirs.keys()])}) ` +
      'have no key in common'
  return { hosts, ids, text }
}

const list = (ids: readonly string[]) => ids.map(id => JSON.stringify(id)).join(', ')

export interface ReplicaKeysOptions {
  store: RecentLog<ReplicaKeysRecord>
  keyring: Keyring
  log: Log
}

/** Shows the other replicas which keys this one has, and logs which of them differ, each difference once. */
export class ReplicaKeys {
  readonly #store: RecentLog<ReplicaKeysRecord>
  readonly #log: Log
  readonly #own: ReplicaKeysRecord
  readonly #timer: NodeJS.Timeout
  #told: ReadonlySet<string> = new Set()

  constructor ({ store, keyring, log }: ReplicaKeysOptions) {
    this.#store = store
    this.#log = log
    this.#own = {
      replica: randomUUID(),
      host: `${hostname()} (process ${process.pid})`,
      fingerprints: keyring.fingerprints
    }
    this.#timer = setInterval(() => { this.compare().catch(() => {}) }, ANNOUNCE_MS).unref()
  }

  /** Writes down the own keys, and compares them with those of the others. Never rejects. */
  async compare (): Promise<void> {
    try {
      // written first: of two that start at once, at least one sees the other
      await this.#store.append(this.#own)
      this.#report(currentReplicas(await this.#store.read()))
    } catch (err) {
      this.#log.warn({ err }, 'the encryption keys of the replicas could not be compared')
    }
  }

  /** Says that this replica is gone. Never rejects. */
  async close (): Promise<void> {
    clearInterval(this.#timer)
    await this.#store.append({ ...this.#own, fingerprints: {} }).catch((err: unknown) => {
      this.#log.warn({ err }, 'the other replicas could not be told that this one leaves')
    })
  }

  #report (replicas: readonly ReplicaKeysRecord[]): void {
    const others = replicas.filter(({ replica }) => replica !== this.#own.replica)
    const own = { ...this.#own, host: OWN_HOST }
    const differences = compareKeys([...others, own]).filter(({ hosts }) => hosts.includes(OWN_HOST))
    for (const { ids, text } of differences) {
      if (this.#told.has(text)) continue
      this.#log.error({ keyIds: ids }, `ENCRYPTION_KEYS are not the same on all replicas: ${text}`)
    }
    this.#told = new Set(differences.map(({ text }) => text))
  }
}
