import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDemoUpstream, type DemoUpstreamOptions } from '../../src/demo/upstream.js'
import { root, runnable } from '../support/root.js'
import { freePort } from '../support/free-port.js'
import { FEW_LOGINS } from './few-logins.js'
import { startLoadBalancer } from './load-balancer.js'
import { answers, end, start } from './processes.js'

/** One process of the service. */
export interface ReplicaProcess {
  port: number
  /** Its own address, past the load balancer. */
  url: string
  child: ChildProcess
  /** Ends it and waits for the end. */
  stop (signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

/** Replicas behind a load balancer in strict round robin, with Redis and the demo upstream. */
export interface Cluster {
  /** What clients see: the load balancer. */
  url: string
  replicas: ReplicaProcess[]
  /** Starts a replica in the place of one that has ended. */
  restart(index: number): Promise<void>
  redis: {
    stop(): Promise<void>
    start(): Promise<void>
    port: number /** While it is stopped: it starts again without what it kept. */
    forget(): void
  }
  /** Where counting replicas leave their marks. */
  runsFile: string
  /** What the load balancer had to complain of. */
  proxyErrors (): string[]
  close (): Promise<void>
}

export interface ClusterOptions {
  replicas?: number
  /** Laid over the replicas' environment. */
  environment?: NodeJS.ProcessEnv
  /** Module that each replica runs. Default: the service itself. */
  entry?: string
  /** Laid over the settings of the demo upstream. */
  upstream?: DemoUpstreamOptions['configuration']
  /** What becomes of the replicas' logs. Default: `inherit`. */
  logs?: 'inherit' | 'ignore'
  /** Where Redis listens. Default: a free port. */
  redisPort?: number
}

/** Starts a cluster on free ports of loopback. */
export async function startCluster (
  { replicas: count = 2, environment = {}, entry = 'src/server', upstream: configuration = {}, ...more }:
  ClusterOptions = {}
): Promise<Cluster> {
  const { logs = 'inherit', redisPort = await freePort() } = more
  const dir = mkdtempSync(join(tmpdir(), 'cluster-'))
  const upstream = await startDemoUpstream({ port: 0, configuration })
  const url = `http://localhost:${await freePort()}`
  const runsFile = join(dir, 'runs')
  let redis = await startRedis(dir, redisPort)
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    PUBLIC_URL: url,
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    OAUTH_ISSUER_URL: upstream.issuer,
    ENCRYPTION_KEYS: `test:${randomBytes(32).toString('base64url')}`,
    LOG_LEVEL: 'warn',
    NODE_ENV: 'production',
    RUNS_FILE: runsFile,
    ...FEW_LOGINS,
    ...environment
  }
  const replicas = await Promise.all(
    Array.from({ length: count }, async () => await startReplica(entry, await freePort(), env, logs))
  )
  const balancer = await startLoadBalancer(dir, Number(new URL(url).port), replicas.map(({ port }) => port))

  return {
    url,
    replicas,
    redis: {
      port: redisPort,
      stop: async () => { await end(redis, 'SIGTERM') },
      start: async () => { redis = await startRedis(dir, redisPort) },
      forget: () => { rmSync(join(dir, 'appendonlydir'), { recursive: true, force: true }) }
    },
    runsFile,
    proxyErrors: () => balancer.errors(),
    restart: async index => {
      const { port } = replicas[index] ?? { port: 0 }
      replicas[index] = await startReplica(entry, port, env, logs)
    },
    close: async () => {
      await balancer.close()
      await Promise.all(replicas.map(({ child }) => end(child, 'SIGKILL')))
      await end(redis, 'SIGKILL')
      await upstream.close()
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

/** Starts a process of the service, and waits until it answers. */
export async function startReplica (
  entry: string,
  port: number,
  env: NodeJS.ProcessEnv,
  logs: 'inherit' | 'ignore' = 'inherit'
): Promise<ReplicaProcess> {
  const child = start(process.execPath, runnable(entry), {
    cwd: root,
    env: { ...env, PORT: String(port) },
    stdio: ['ignore', logs, logs]
  })
  const url = `http://127.0.0.1:${port}`
  await answers(`${url}/healthz`, child)
  return { port, url, child, stop: signal => end(child, signal) }
}

/** Starts a Redis that keeps its data in `dir`. */
export async function startRedis (dir: string, port: number): Promise<ChildProcess> {
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--appendonly',
    'yes',
    '--appendfsync',
    'everysec',
    '--save',
    ''
  ]
  const child = start('redis-server', settings, { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const chunk of child.stdout ?? []) if (String(chunk).includes('Ready to accept connections')) break
  child.stdout?.resume()
  return child
}
