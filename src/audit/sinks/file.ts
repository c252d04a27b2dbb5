import { constants, type Stats } from 'node:fs'
import { link, open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { hostname } from 'node:os'
import { format, parse, resolve } from 'node:path'
import { parseSealed, type ChainHead } from '../chain.js'
import type { AuditSink } from './sink.js'

/**
 * How `auditToFile` writes.
 * @example
 * ```ts
 * import { auditToFile, type AuditFileOptions } from 'fastify-mcp-oauth'
 *
 * const options: AuditFileOptions = { maxBytes: 10_000_000, fsync: true }
 * export const sink = auditToFile('/var/log/mcp/audit.jsonl', options)
 * ```
 */
export interface AuditFileOptions {
  /** Size in bytes at which the file is set aside and another begins. Default: 100 MiB. */
  maxBytes?: number
  /** Waits until the disk has what was written. Default: false. */
  fsync?: boolean
  /** The time in milliseconds. Default: that of the system. */
  now?: () => number
}

const MAX_BYTES = 100 * 1024 * 1024
// an event is bounded: its line is in here whole
const TAIL_BYTES = 256 * 1024
const NEWLINE = 0x0a
// others may read nothing: it says who did what
const MODE = 0o600
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT

/** A file that is open, and what is known of it. */
interface OpenFile {
  handle: FileHandle
  inode: bigint
  /** Bytes of whole lines. */
  size: number
  /** UTC day of its last write. */
  day: string
}

/*
 * Why no library: sonic-boom (pino's) has the append, fsync and errors, but does not say which lines are on the disk,
 * keeps none apart that failed halfway, and does not see that its file was moved or removed.
 */

/**
 * Appends audit events to a file of mode 0600, which continues its chain after a restart. It is set aside at a size and
 * at the end of each day (UTC) under a name with the time; nothing is ever removed. One process writes to one file:
 * `%h` in the path becomes the name of the host.
 * @example
 * ```ts
 * import { auditToFile } from 'fastify-mcp-oauth'
 *
 * export const audit = { sink: auditToFile('/var/log/mcp/audit-%h.jsonl', { fsync: true }), required: true }
 * ```
 */
export function auditToFile (path: string, options: AuditFileOptions = {}): AuditSink {
  return new AuditFile(resolve(path.replaceAll('%h', hostname())), options)
}

class AuditFile implements AuditSink {
  readonly #path: string
  readonly #maxBytes: number
  readonly #fsync: boolean
  readonly #now: () => number
  #file: OpenFile | undefined
  /** Whether the last write failed: it may have left some of its bytes. */
  #isHalfDone = false

  constructor (path: string, { maxBytes = MAX_BYTES, fsync = false, now = Date.now }: AuditFileOptions) {
    this.#path = path
    this.#maxBytes = maxBytes
    this.#fsync = fsync
    this.#now = now
  }

  async open (): Promise<ChainHead | undefined> {
    const known = this.#file
    const file = await this.#reopen()
    // after a failure, the trail knows where it stands
    if (known !== undefined) return undefined
    const { head, end } = await readHead(file.handle, file.size)
    if (end < file.size) {
      // a crash cut the last line off: it was never reported as kept
      await file.handle.truncate(end)
      file.size = end
    }
    if (head === undefined && end > 0) await this.#setAside(file)
    return head
  }

  async write (bytes: Uint8Array): Promise<void> {
    let file = await this.#current()
    const isDue = file.size + bytes.length > this.#maxBytes || file.day !== this.#today
    if (file.size > 0 && isDue) file = await this.#setAside(file)
    this.#isHalfDone = true
    for (let done = 0; done < bytes.length;) {
      done += (await file.handle.write(bytes, done, bytes.length - done)).bytesWritten
    }
    if (this.#fsync) await file.handle.datasync()
    file.size += bytes.length
    file.day = this.#today
    this.#isHalfDone = false
  }

  async close (): Promise<void> {
    await this.#file?.handle.close()
    this.#file = undefined
  }

  get #today (): string {
    return toDay(this.#now())
  }

  /** The open file as the last write has left it, or a new one if it was moved or removed. */
  async #current (): Promise<OpenFile> {
    const file = this.#file
    if (file === undefined) return await this.#reopen()
    const there = await stat(this.#path, { bigint: true }).catch(() => undefined)
    if (there?.ino === file.inode) {
      await this.#assertOwn(file, Number(there.size))
      return file
    }
    const other = await this.#reopen()
    return other.size === 0 ? other : await this.#setAside(other)
  }

  /** What a failed write has left is removed; more, or less, is of somebody else. */
  async #assertOwn (file: OpenFile, size: number): Promise<void> {
    if (size < file.size || (size > file.size && !this.#isHalfDone)) {
      throw new Error(`${this.#path} was changed by somebody else: each process needs a file of its own`)
    }
    if (size > file.size) await file.handle.truncate(file.size)
  }

  async #reopen (): Promise<OpenFile> {
    const before = this.#file
    const handle = await open(this.#path, FLAGS, MODE)
    const { ino: inode, size, mtimeMs } = await handle.stat({ bigint: true })
    if (before?.inode === inode) {
      await handle.close()
      return before
    }
    await before?.handle.close().catch(() => {})
    this.#file = { handle, inode, size: Number(size), day: toDay(Number(mtimeMs)) }
    return this.#file
  }

  /** Gives the file a name with the time, and begins another. */
  async #setAside ({ handle }: OpenFile): Promise<OpenFile> {
    const { dir, name, ext } = parse(this.#path)
    const time = new Date(this.#now()).toISOString().replaceAll(':', '-')
    for (let number = 0; ; number++) {
      const target = format({ dir, name: `${name}-${time}${number === 0 ? '' : `-${number}`}`, ext })
      try {
        // unlike a rename, a link never replaces a file
        await link(this.#path, target)
        break
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      }
    }
    await unlink(this.#path)
    await handle.close()
    this.#file = undefined
    return await this.#reopen()
  }
}

function toDay (ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** The last whole line of a file, and where it ends. */
async function readHead (
  handle: FileHandle,
  size: Stats['size']
): Promise<{ head: ChainHead | undefined, end: number }> {
  const start = Math.max(0, size - TAIL_BYTES)
  const tail = Buffer.alloc(size - start)
  await handle.read(tail, 0, tail.length, start)
  const last = tail.lastIndexOf(NEWLINE)
  if (last === -1) return { head: undefined, end: start === 0 ? 0 : size }
  const before = last === 0 ? -1 : tail.lastIndexOf(NEWLINE, last - 1)
  const sealed = parseSealed(tail.toString('utf8', before + 1, last))
  const head = sealed && { chain: sealed.chain, sequence: sealed.sequence, hash: sealed.hash }
  return { head, end: start + last + 1 }
}
