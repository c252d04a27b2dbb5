import { hash, randomUUID } from 'node:crypto'
import { getMember } from '../members.js'

/** Where a chain stands: its last event. */
export interface ChainHead {
  /** Names the chain. */
  chain: string
  sequence: number
  hash: string
}

/** The `previous` of the first event of a chain. */
export const BEGINNING = '0'.repeat(64)

const BLOCK_BYTES = 64
const HASH_BYTES = 32
// of most lines, with the key
const LINE_BYTES = 4096
// UTF-8 of a UTF-16 code unit
const MAX_BYTES_OF_UNIT = 3
const TAIL = /,"hash":"([0-9a-f]{64})"\}\}$/

/** Hashes lines: with a key, nobody without it can make the chain again (HMAC, RFC 2104). */
export class LineHash {
  /** Fingerprint of the key; undefined: there is none. */
  readonly keyId: string | undefined
  /** The padded key, and room for the inner hash. */
  readonly #outer: Buffer | undefined
  /** Where a line begins: after the padded key. */
  readonly #start: number = 0
  /** The padded key, and room for a line. */
  #memory: Buffer
  /** Where the last line ends. */
  #end = 0

  /** @param key of at most 64 bytes */
  constructor (key?: Uint8Array) {
    this.#memory = Buffer.alloc(LINE_BYTES)
    if (key === undefined) return
    this.#start = BLOCK_BYTES
    this.#memory = padded(key, 0x36, LINE_BYTES)
    this.#outer = padded(key, 0x5c, BLOCK_BYTES + HASH_BYTES)
    this.keyId = hash('sha256', key, 'hex').slice(0, 16)
  }

  // one-shot hashes of memory that is there already cost half of createHmac, and a string less than a buffer
  of (line: string): string {
    const most = this.#start + MAX_BYTES_OF_UNIT * line.length
    if (most > this.#memory.length) this.#memory = Buffer.concat([this.#memory.subarray(0, this.#start)], 2 * most)
    this.#end = this.#start + this.#memory.write(line, this.#start)
    const bytes = this.#memory.subarray(0, this.#end)
    if (this.#outer === undefined) return hash('sha256', bytes, 'hex')
    this.#outer.write(hash('sha256', bytes, 'binary'), BLOCK_BYTES, 'latin1')
    return hash('sha256', this.#outer, 'hex')
  }

  /** Copies the line that was hashed last, as UTF-8. @returns the bytes that it has */
  copyTo (target: Buffer, at: number): number {
    return this.#memory.copy(target, at, this.#start, this.#end)
  }
}

/** The key, padded to a block as HMAC does, at the start of more memory. */
function padded (key: Uint8Array, pad: number, bytes: number): Buffer {
  const memory = Buffer.alloc(bytes)
  for (let at = 0; at < BLOCK_BYTES; at++) memory[at] = (key[at] ?? 0) ^ pad
  return memory
}

/** Links events: each line has the hash of the one before it, and its own. */
export class Chain {
  readonly #hash: LineHash
  /** What all lines have in common. */
  readonly #place: string
  readonly #key: string
  #head: ChainHead
  /** Room for lines. */
  #lines = Buffer.alloc(0)
  #length = 0

  /** @param head where to continue; undefined: a new chain */
  constructor (hash: LineHash, head?: ChainHead) {
    this.#hash = hash
    this.#head = head ?? { chain: randomUUID(), sequence: 0, hash: BEGINNING }
    this.#place = `,"audit":{"chain":"${this.#head.chain}","sequence":`
    this.#key = hash.keyId === undefined ? '"' : `","key":"${hash.keyId}"`
  }

  get head (): ChainHead {
    return this.#head
  }

  /** Goes back, if what came after was not kept. */
  returnTo (head: ChainHead): void {
    this.#head = head
  }

  /**
   * The lines of events, each with a line break, as UTF-8: memory that the next ones use again.
   * @param texts the JSON of each, without `audit` and its last brace
   * @param lost events that were lost before the first
   */
  seal (texts: readonly string[], lost = 0): Buffer<ArrayBuffer> {
    this.#length = 0
    for (const [at, text] of texts.entries()) this.#add(text, at === 0 ? lost : 0)
    return this.#lines.subarray(0, this.#length)
  }

  #add (text: string, lost: number): void {
    const { chain, sequence, hash: previous } = this.#head
    const missing = lost === 0 ? '' : `,"lost":${lost}`
    const body = `${text}${this.#place}${sequence + 1},"previous":"${previous}${this.#key}${missing}`
    const own = this.#hash.of(body)
    this.#head = { chain, sequence: sequence + 1, hash: own }
    const end = `,"hash":"${own}"}}\n`
    const most = this.#length + MAX_BYTES_OF_UNIT * body.length + end.length
    if (most > this.#lines.length) this.#lines = Buffer.concat([this.#lines.subarray(0, this.#length)], 2 * most)
    this.#length += this.#hash.copyTo(this.#lines, this.#length)
    this.#length += this.#lines.write(end, this.#length, 'latin1')
  }
}

/** An event of a chain, as its line shows it. */
export interface SealedLine extends ChainHead {
  previous: string
  keyId: string | undefined
  time: string
  /** What the hash is of. */
  body: string
}

/** Reads the line of an event; undefined if it is not one. */
export function parseSealed (line: string): SealedLine | undefined {
  const end = TAIL.exec(line)
  if (end?.[1] === undefined) return undefined
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    return undefined
  }
  const audit = getMember(event, 'audit')
  const [chain, sequence, previous] = [
    getMember(audit, 'chain'), getMember(audit, 'sequence'), getMember(audit, 'previous')
  ]
  const [keyId, time] = [getMember(audit, 'key'), getMember(event, '@timestamp')]
  if (typeof chain !== 'string' || typeof sequence !== 'number' || typeof previous !== 'string') return undefined
  return {
    chain,
    sequence,
    previous,
    hash: end[1],
    keyId: typeof keyId === 'string' ? keyId : undefined,
    time: typeof time === 'string' ? time : '',
    body: line.slice(0, end.index)
  }
}
