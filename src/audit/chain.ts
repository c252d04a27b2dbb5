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
// of most lines
const LINE_BYTES = 4096
// UTF-8 of a UTF-16 code unit
const MAX_BYTES_OF_UNIT = 3
const TAIL = /,"hash":"([0-9a-f]{64})"\}\}$/

/** Hashes lines: with a key, nobody without it can make the chain again (HMAC, RFC 2104). */
export class LineHash {
  /** Fingerprint of the key; undefined: there is none. */
  readonly keyId: string | undefined
  /** The padded key, and room for a line. */
  #inner: Buffer | undefined
  /** The padded key, and room for the inner hash. */
  readonly #outer: Buffer | undefined

  /** @param key of at most 64 bytes */
  constructor (key?: Uint8Array) {
    if (key === undefined) return
    this.#inner = padded(key, 0x36, BLOCK_BYTES + LINE_BYTES)
    this.#outer = padded(key, 0x5c, BLOCK_BYTES + HASH_BYTES)
    this.keyId = hash('sha256', key, 'hex').slice(0, 16)
  }

  of (line: string): string {
    if (this.#inner === undefined || this.#outer === undefined) return hash('sha256', line, 'hex')
    // one-shot hashes of memory that is there already cost half of createHmac, and a string less than a buffer
    const most = BLOCK_BYTES + MAX_BYTES_OF_UNIT * line.length
    if (most > this.#inner.length) this.#inner = Buffer.concat([this.#inner.subarray(0, BLOCK_BYTES)], 2 * most)
    const end = BLOCK_BYTES + this.#inner.write(line, BLOCK_BYTES)
    this.#outer.write(hash('sha256', this.#inner.subarray(0, end), 'hex'), BLOCK_BYTES, 'hex')
    return hash('sha256', this.#outer, 'hex')
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
  #head: ChainHead

  /** @param head where to continue; undefined: a new chain */
  constructor (hash: LineHash, head?: ChainHead) {
    this.#hash = hash
    this.#head = head ?? { chain: randomUUID(), sequence: 0, hash: BEGINNING }
  }

  get head (): ChainHead {
    return this.#head
  }

  /** Goes back, if what came after was not kept. */
  returnTo (head: ChainHead): void {
    this.#head = head
  }

  /** The line of an event, without a line break. @param text its JSON, without `audit` */
  seal (text: string, lost = 0): string {
    const { chain, sequence, hash: previous } = this.#head
    const { keyId } = this.#hash
    const place = `"chain":"${chain}","sequence":${sequence + 1},"previous":"${previous}"`
    const key = keyId === undefined ? '' : `,"key":"${keyId}"`
    const body = `${text.slice(0, -1)},"audit":{${place}${key}${lost === 0 ? '' : `,"lost":${lost}`}`
    const own = this.#hash.of(body)
    this.#head = { chain, sequence: sequence + 1, hash: own }
    return `${body},"hash":"${own}"}}`
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
