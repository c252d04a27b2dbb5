import { readFile } from 'node:fs/promises'
import type { Log } from '../../../log.js'

/*
 * Why this is not `ulimit -v` or `prlimit --as`: those limit address space, of which Node, Go and the JVM reserve far
 * more than they use (Node 20 shows 700 MB of it for 40 MB of memory), and what they do at the limit is to crash.
 */
const EVERY_MS = 1000
const MAX_PROCESSES = 200

/** A process, and what it may use together with those it has started. */
interface Watched {
  readonly pid: number
  readonly maxBytes: number
  onExceeded (bytes: number): void
}

/** Watches the memory of processes. Without `/proc`, nothing is known, and nothing happens. */
class MemoryWatch {
  readonly #watched = new Set<Watched>()
  readonly #everyMs: number
  #timer: NodeJS.Timeout | undefined

  constructor (everyMs = EVERY_MS) {
    this.#everyMs = everyMs
  }

  /** @returns a function that ends the watch */
  add (watched: Watched, log: Log): () => void {
    this.#watched.add(watched)
    this.#schedule(log)
    return () => {
      this.#watched.delete(watched)
      if (this.#watched.size > 0) return
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
  }

  #schedule (log: Log): void {
    this.#timer ??= setTimeout(() => {
      this.#look().catch((err: unknown) => { log.warn({ err }, 'the memory of hosted servers is not known') })
        .finally(() => {
          this.#timer = undefined
          if (this.#watched.size > 0) this.#schedule(log)
        })
    }, this.#everyMs).unref()
  }

  async #look (): Promise<void> {
    for (const watched of this.#watched) {
      const bytes = await measureMemory(watched.pid)
      if (bytes > watched.maxBytes && this.#watched.has(watched)) watched.onExceeded(bytes)
    }
  }
}

/** That of this process. */
export const memoryWatch = new MemoryWatch()

/** Bytes of resident memory of a process and its descendants; 0 if that cannot be known. */
async function measureMemory (pid: number): Promise<number> {
  let bytes = 0
  const pids = [pid]
  for (const next of pids) {
    if (pids.length > MAX_PROCESSES) break
    const [status, children] = await Promise.all([
      read(`/proc/${next}/status`),
      read(`/proc/${next}/task/${next}/children`)
    ])
    bytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
    pids.push(...children.split(' ').filter(child => child !== '').map(Number))
  }
  return bytes
}

async function read (file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(() => '')
}
