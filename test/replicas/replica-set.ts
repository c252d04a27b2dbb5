import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { freePort } from '../support/free-port.js'
import { QUIET } from '../support/service.js'
import { startReplica, type ReplicaProcess } from './cluster.js'
import { countRuns, countingServer } from './counting-server.js'
import { FEW_LOGINS } from './few-logins.js'

/** One replica in this process. */
export interface LocalReplica {
  app: FastifyInstance
  port: number
  url: string
}

/**
 * Replicas of the service with the counting server, in this process and in others, with no load balancer before them.
 */
export class ReplicaSet {
  readonly #t: Test
  readonly #environment: NodeJS.ProcessEnv
  readonly #runsFile: string

  private constructor (t: Test, environment: NodeJS.ProcessEnv, runsFile: string) {
    this.#t = t
    this.#environment = environment
    this.#runsFile = runsFile
  }

  /** @param publicPort the replica there is the one that people log in at */
  static async start (
    t: Test,
    redisUrl: string,
    publicPort: number,
    environment: NodeJS.ProcessEnv = {}
  ): Promise<ReplicaSet> {
    const dir = mkdtempSync(join(tmpdir(), 'replicas-'))
    const upstream = await startDemoUpstream({ port: 0 })
    t.teardown(async () => {
      await upstream.close()
      rmSync(dir, { recursive: true, force: true })
    })
    const runsFile = join(dir, 'runs')
    return new ReplicaSet(t, {
      ...QUIET,
      PUBLIC_URL: `http://localhost:${publicPort}`,
      REDIS_URL: redisUrl,
      OAUTH_ISSUER_URL: upstream.issuer,
      ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64url')}`,
      ...FEW_LOGINS,
      RUNS_FILE: runsFile,
      ...environment
    }, runsFile)
  }

  /** How often each call has run. */
  get runs (): ReadonlyMap<string, number> {
    return countRuns(this.#runsFile)
  }

  /** A replica in this process; it ends with the test. */
  async local (port: number, createServer = countingServer(this.#runsFile)): Promise<LocalReplica> {
    const app = await buildApp(loadConfig({ ...this.#environment, PORT: String(port) }, { dotenv: false }), {
      createServer
    })
    this.#t.teardown(() => app.close())
    await app.listen({ port, host: '127.0.0.1' })
    return { app, port, url: `http://localhost:${port}` }
  }

  /** A replica in a process of its own; it ends with the test. */
  async process (
    environment: NodeJS.ProcessEnv = {},
    entry = 'test/replicas/counting-replica'
  ): Promise<ReplicaProcess> {
    const replica = await startReplica(entry, await freePort(), {
      PATH: process.env.PATH,
      ...this.#environment,
      ...environment
    }, 'ignore')
    this.#t.teardown(() => replica.stop('SIGKILL'))
    return replica
  }
}
