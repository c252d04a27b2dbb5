import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { BEGINNING, LineHash, parseSealed, type ChainHead, type SealedLine } from './chain.js'

export interface VerifyOptions {
  /** Keys of hashes. Without any, only lines without a key can be verified. */
  keys: readonly Uint8Array[]
  /** The hash that the last event must have. */
  head?: string | undefined
  /** Whether there may be other lines and several chains, as in what was collected from standard output. */
  isMixed?: boolean
}

/** What was found in audit logs. */
export interface Verification {
  events: number
  /** Times of the first event and the last one. */
  from: string
  to: string
  /** The last event of each chain. */
  heads: ChainHead[]
  /** Chains whose first event was not among these files: their sequence number. */
  begunEarlier: number[]
  /** The first line that does not fit. */
  fault?: { file: string, line: number, why: string }
}

/** Name of the HKDF purpose of the keys of the chain. */
export const CHAIN_PURPOSE = 'audit chain'

/** Looks whether the events in audit logs are complete, in order and unaltered, in the order of their chain. */
export async function verifyAuditFiles (files: readonly string[], options: VerifyOptions): Promise<Verification> {
  const check = new ChainCheck(options)
  const ordered = await inOrder(files)
  for (const file of ordered) {
    let line = 0
    for await (const text of readLines(file)) {
      line++
      const why = check.take(text)
      if (why !== undefined) return { ...check.found, fault: { file, line, why } }
    }
  }
  const { found } = check
  const { head } = options
  if (head !== undefined && !found.heads.some(({ hash }) => hash === head)) {
    const why = `no chain ends with the event ${head}: the end is missing`
    return { ...found, fault: { file: ordered.at(-1) ?? '', line: 0, why } }
  }
  return found
}

function readLines (file: string): AsyncIterable<string> {
  return createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Infinity })
}

/** By the sequence number of their first event. */
async function inOrder (files: readonly string[]): Promise<string[]> {
  const begun = await Promise.all(files.map(async file => ({ file, sequence: await readFirstSequence(file) })))
  return begun.toSorted((a, b) => a.sequence - b.sequence).map(({ file }) => file)
}

async function readFirstSequence (file: string): Promise<number> {
  const input = createReadStream(file, 'utf8')
  const lines = createInterface({ input, crlfDelay: Infinity })
  const first: IteratorResult<string, unknown> = await lines[Symbol.asyncIterator]().next()
  lines.close()
  input.destroy()
  return first.done === true ? 0 : parseSealed(first.value)?.sequence ?? 0
}

/** Follows chains, event by event. */
class ChainCheck {
  readonly #hashes: ReadonlyMap<string | undefined, LineHash>
  readonly #isMixed: boolean
  readonly #heads = new Map<string, ChainHead>()
  readonly #begunEarlier: number[] = []
  #events = 0
  #from = ''
  #to = ''

  constructor ({ keys, isMixed = false }: VerifyOptions) {
    const hashes = keys.length === 0 ? [new LineHash()] : keys.map(key => new LineHash(key))
    this.#hashes = new Map(hashes.map(hash => [hash.keyId, hash]))
    this.#isMixed = isMixed
  }

  get found (): Verification {
    return {
      events: this.#events,
      from: this.#from,
      to: this.#to,
      heads: [...this.#heads.values()],
      begunEarlier: this.#begunEarlier
    }
  }

  /** @returns what is wrong with a line */
  take (text: string): string | undefined {
    const line = parseSealed(text)
    if (line === undefined) return this.#isMixed ? undefined : 'this is not an event of an audit log'
    const why = this.#findFault(line)
    if (why !== undefined) return why
    const { chain, sequence, hash, time } = line
    this.#heads.set(chain, { chain, sequence, hash })
    this.#events++
    if (this.#from === '') this.#from = time
    this.#to = time
    return undefined
  }

  #findFault (line: SealedLine): string | undefined {
    const { keyId, sequence, previous, chain } = line
    const hash = this.#hashes.get(keyId)
    if (hash === undefined) {
      return keyId === undefined
        ? 'this event has no key, although ENCRYPTION_KEYS is set: anybody can have made it'
        : `this event needs the key ${keyId}, which ENCRYPTION_KEYS does not have`
    }
    if (hash.of(line.body) !== line.hash) return 'this event was altered: its hash is another'
    const before = this.#heads.get(chain)
    if (before === undefined) return this.#begin(line)
    if (sequence !== before.sequence + 1) {
      return `event ${before.sequence} is followed by event ${sequence}: events are missing, or not in their order`
    }
    return previous === before.hash ? undefined : `event ${sequence} does not follow the event ${before.sequence} above`
  }

  #begin ({ sequence, previous }: SealedLine): string | undefined {
    if (this.#heads.size > 0 && !this.#isMixed) return 'another chain begins here'
    if (sequence > 1) this.#begunEarlier.push(sequence)
    return sequence === 1 && previous !== BEGINNING ? 'the first event of a chain follows another' : undefined
  }
}
