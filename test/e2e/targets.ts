import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { useSample, type Use } from '../hosted/uses.js'
import { startRedis } from '../replicas/cluster.js'
import { end } from '../replicas/processes.js'
import { root } from '../support/root.js'
import { freePort } from '../support/free-port.js'
import { run } from './installed.js'
import { startProcess } from './service-process.js'

/** A service that clients can be let loose on. */
export interface Target {
  /** Its URL, which `/mcp` follows. */
  url: string
  /** What people do there. */
  use: Use
  stop (): Promise<void>
}

/** How targets are started, by their names: each with all that it needs, on free ports of loopback. */
export type Targets = Readonly<Record<string, (environment?: NodeJS.ProcessEnv) => Promise<Target>>>

/** The sample server, in each way that it is served. */
const targets: Targets = {
  start,
  consumer,
  'dist-redis': distRedis
}

/**
 * The target that the command line names, or what is served at the URL there.
 * @param environment more settings of a target that is started
 * @param others that it may name, besides those of the sample server
 */
export async function targetOf (
  argument: string,
  environment: NodeJS.ProcessEnv = {},
  others: Targets = {}
): Promise<Target> {
  if (/^https?:/.test(argument)) {
    return { url: argument.replace(/\/(mcp)?$/, ''), use: useSample, stop: async () => {} }
  }
  const all = { ...targets, ...others }
  const start = all[argument]
  if (start === undefined) throw new Error(`${argument} is neither a URL nor one of ${Object.keys(all).join(', ')}.`)
  return await start(environment)
}

/** `npm start`, with nothing configured but ports. */
async function start (environment: NodeJS.ProcessEnv = {}): Promise<Target> {
  const port = await freePort()
  const service = await startProcess(`http://localhost:${port}`, ['npm', 'start'], {
    PORT: String(port),
    DEMO_UPSTREAM_PORT: String(await freePort()),
    ...environment
  })
  return {
    url: service.url,
    use: useSample,
    stop: async () => {
      await service.stop()
    }
  }
}

/** The packed package, installed by an app that has it under `/ai`. */
async function consumer (environment: NodeJS.ProcessEnv = {}): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-consumer-'))
  await run('npm', ['run', 'build'], { cwd: root })
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    cwd: root
  })
  const app = join(folder, 'app')
  mkdirSync(app)
  cpSync(join(root, 'test/e2e/consumer'), app, { recursive: true })
  writeFileSync(join(app, 'package.json'), '{"type":"module"}')
  await run('npm', [
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    join(folder, stdout.trim()),
    'fastify@5',
    '@modelcontextprotocol/sdk@1',
    'zod@4'
  ], { cwd: app })
  const upstream = await startDemoUpstream({ port: 0 })
  const port = String(await freePort())
  const service = await startProcess(`http://localhost:${port}/ai`, [process.execPath, 'app.js'], {
    PORT: port,
    OAUTH_ISSUER_URL: upstream.issuer,
    ...environment
  }, app)
  return {
    url: service.url,
    use: useSample,
    stop: async () => {
      await service.stop()
      await upstream.close()
      rmSync(folder, { recursive: true })
    }
  }
}

/** What the image runs, as it runs it: the build, in production, with Redis and an upstream of its own. */
async function distRedis (environment: NodeJS.ProcessEnv = {}): Promise<Target> {
  await run('npm', ['run', 'build'], { cwd: root })
  const folder = mkdtempSync(join(tmpdir(), 'mcp-redis-'))
  const redisPort = await freePort()
  const redis = await startRedis(folder, redisPort)
  const upstream = await startDemoUpstream({ port: 0 })
  const port = String(await freePort())
  const service = await startProcess(`http://localhost:${port}`, [process.execPath, 'dist/server.js'], {
    PORT: port,
    PUBLIC_URL: `http://localhost:${port}`,
    NODE_ENV: 'production',
    REDIS_URL: `redis://127.0.0.1:${redisPort}`,
    ENCRYPTION_KEYS: `e2e:${randomBytes(32).toString('base64url')}`,
    OAUTH_ISSUER_URL: upstream.issuer,
    SHUTDOWN_DELAY_SECONDS: '0',
    ...environment
  })
  return {
    url: service.url,
    use: useSample,
    stop: async () => {
      await service.stop()
      await upstream.close()
      await end(redis, 'SIGTERM')
      rmSync(folder, { recursive: true })
    }
  }
}
