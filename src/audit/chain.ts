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
const TAIL = /,"hash":"([0-9a-f]{64})"\}\}$/

/** Hashes lines: with a key, nobody without it can make the chain again (HMAC, RFC 2104). */
export class LineHash {
  /** Fingerprint of the key; undefined: there is none. */
  readonly keyId: string | undefined
  readonly #inner: Buffer | undefined
  readonly #outer: Buffer | undefined

  /** @param key of at most 64 bytes */
  constructor (key?: Uint8Array) {
    if (key === undefined) return
    const pad = (byte: number) => Buffer.from(Buffer.alloc(BLOCK_BYTES).map((_, at) => (key[at] ?? 0) ^ byte))
    this.#inner = pad(0x36)
    this.#outer = pad(0x5c)
    this.keyId = hash('sha256', key, 'hex').slice(0, 16)
  }

  of (line: string): string {
    if (this.#inner === undefined || this.#outer === undefined) return hash('sha256', line, 'hex')
    // one-shot hashes cost a third of createHmac
    const inner = hash('sha256', Buffer.concat([this.#inner, Buffer.from(line)]), 'buffer')
    return hash('sha256', Buffer.concat([this.#outer, inner]), 'hex')
  }
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
