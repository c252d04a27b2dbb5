import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startDemoUpstream, type DemoUpstreamOptions } from '../../src/demo/upstream.js'
import { root, runnable } from '../root.js'
import { freePort } from '../service.js'

// nothing is left behind, however this process ends
const children = new Set<ChildProcess>()
process.once('exit', () => { for (const child of children) child.kill('SIGKILL') })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })

/** One process of the service. */
export interface ReplicaProcess {
  port: number
  /** Its own address, past the load balancer. */
  url: string
  child: ChildProcess
  /** Ends it and waits for the end. */
  stop (signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

/** Replicas behind nginx in strict round robin, with Redis and the demo upstream. */
export interface Cluster {
  /** What clients see: the load balancer. */
  url: string
  replicas: ReplicaProcess[]
  /** Starts a replica in the place of one that has ended. */
  restart (index: number): Promise<void>
  redis: { stop (): Promise<void>, start (): Promise<void>, port: number, /** While it is stopped: it starts again without what it kept. */ forget (): void }
  /** Where counting replicas leave their marks. */
  runsFile: string
  /** What nginx had to complain of. */
  nginxErrors (): string[]
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
}

/** Starts a cluster on free ports of loopback. */
export async function startCluster ({ replicas: count = 2, environment = {}, entry = 'src/server', upstream: configuration = {}, logs = 'inherit' }: ClusterOptions = {}): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), 'cluster-'))
  const upstream = await startDemoUpstream({ port: 0, configuration })
  const redisPort = await freePort()
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
    ...environment
  }
  const replicas = await Promise.all(Array.from({ length: count }, async () => await startReplica(entry, await freePort(), env, logs)))
  const nginx = await startNginx(dir, Number(new URL(url).port), replicas.map(({ port }) => port))

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
    nginxErrors: () => readFileSync(join(dir, 'nginx/error.log'), 'utf8').split('\n').filter(line => line !== ''),
    restart: async index => {
      const { port } = replicas[index] ?? { port: 0 }
      replicas[index] = await startReplica(entry, port, env, logs)
    },
    close: async () => {
      await end(nginx, 'SIGTERM')
      await Promise.all(replicas.map(({ child }) => end(child, 'SIGKILL')))
      await end(redis, 'SIGKILL')
      await upstream.close()
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

/** Starts a process of the service, and waits until it answers. */
export async function startReplica (entry: string, port: number, env: NodeJS.ProcessEnv, logs: 'inherit' | 'ignore' = 'inherit'): Promise<ReplicaProcess> {
  const child = noted(spawn(process.execPath, runnable(entry), { cwd: root, env: { ...env, PORT: String(port) }, stdio: ['ignore', logs, logs] }))
  const url = `http://127.0.0.1:${port}`
  await answers(`${url}/healthz`, child)
  return { port, url, child, stop: signal => end(child, signal) }
}

/** Starts a Redis that keeps its data in `dir`. */
export async function startRedis (dir: string, port: number): Promise<ChildProcess> {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '']
  const child = noted(spawn('redis-server', settings, { stdio: ['ignore', 'pipe', 'inherit'] }))
  for await (const chunk of child.stdout) if (String(chunk).includes('Ready to accept connections')) break
  child.stdout.resume()
  return child
}

/** Starts nginx, as deploy/nginx has it, before replicas that answer `/healthz`. */
export async function startNginx (dir: string, port: number, replicas: readonly number[]): Promise<ChildProcess> {
  const config = join(dir, 'nginx.conf')
  mkdirSync(join(dir, 'nginx'))
  writeFileSync(config, `
    daemon off; master_process off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/nginx/error.log;
    events { worker_connections 8192; }
    http {
      access_log off;
      client_body_temp_path ${dir}/nginx/body; proxy_temp_path ${dir}/nginx/proxy;
      fastcgi_temp_path ${dir}/nginx/f; uwsgi_temp_path ${dir}/nginx/u; scgi_temp_path ${dir}/nginx/s;
      upstream replicas { ${replicas.map(replica => `server 127.0.0.1:${replica} max_fails=1 fail_timeout=1s;`).join(' ')} keepalive 256; }
      server {
        listen 127.0.0.1:${port}; listen [::1]:${port};
        location / { proxy_pass http://replicas; include ${root}/deploy/nginx/proxy.conf; }
      }
    }`)
  const child = noted(spawn('nginx', ['-c', config, '-p', dir], { stdio: ['ignore', 'ignore', 'ignore'] }))
  await answers(`http://localhost:${port}/healthz`, child)
  return child
}

async function answers (url: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`${url}: the process has ended with ${child.exitCode}`)
    const response = await fetch(url).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok === true) return
    await delay(50)
  }
}

function noted<T extends ChildProcess> (child: T): T {
  children.add(child)
  child.once('exit', () => { children.delete(child) })
  return child
}

/** Ends a process and waits for the end. */
export async function end (child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}
