import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

/** What happens to the reply of a command: `late`, or never there, as the connection is cut. */
export type Fault = 'late' | 'cut'

const LATE_MS = 3000

/** Stands between replicas and Redis, and keeps back the reply to the next command that contains some text. */
export class RedisProxy {
  readonly #server: Server
  readonly #redisPort: number
  readonly #lateMs: number
  readonly #sockets = new Set<Socket>()
  #next: { text: string, fault: Fault } | undefined

  constructor (redisPort: number, lateMs = LATE_MS) {
    this.#lateMs = lateMs
    this.#redisPort = redisPort
    this.#server = createServer(client => { this.#pass(client) })
  }

  async listen (port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** The command itself reaches Redis. */
  fail (text: string, fault: Fault): void {
    this.#next = { text, fault }
  }

  /** Whether no reply was kept back since. */
  get isArmed (): boolean {
    return this.#next !== undefined
  }

  close (): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #pass (client: Socket): void {
    const redis = connect(this.#redisPort, '127.0.0.1')
    let fault: Fault | undefined
    for (const [from, to] of [[client, redis], [redis, client]] as const) {
      this.#sockets.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    client.on('data', data => {
      if (this.#next !== undefined && data.includes(this.#next.text)) {
        fault = this.#next.fault
        this.#next = undefined
      }
      redis.write(data)
    })
    let replies = Promise.resolve()
    redis.on('data', data => {
      if (fault === 'cut') {
        client.destroy()
        return
      }
      const isLate = fault === 'late'
      fault = undefined
      replies = replies.then(async () => {
        if (isLate) await delay(this.#lateMs)
        client.write(data)
      })
    })
  }
}
