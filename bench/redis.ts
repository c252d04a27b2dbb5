import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startRedis } from '../test/replicas/cluster.js'
import { startLoadBalancer, type LoadBalancer } from '../test/replicas/load-balancer.js'
import { end } from '../test/replicas/processes.js'
import { scriptArguments } from '../test/support/script-arguments.js'
import { freePort } from '../test/support/free-port.js'
import { build } from './build.js'
import type { LoadCalls } from './load/main.js'
import { Child } from './processes.js'
import type { ServerCalls } from './servers/served.js'
import { CONNECTIONS, MEASURED_MS, WARM_UP_MS } from './workloads.js'

/*
 * W1, calls of the tool `add` in sessions, with the stores in memory and in Redis, by one replica and by two behind
 * nginx in strict round robin. The replicas share one core, so that what they cost can be compared.
 */
interface Speed {
  callsPerSecond: number
  /** Microseconds of CPU of the replicas for each call. */
  cpu: number
  /** Commands that Redis has run: those of the replicas' leases and their bus do not come of calls. */
  commandsPerSecond: number
}

interface Setup { title: string, redis: boolean, replicas: number, nginx: boolean }

const SETUPS: readonly Setup[] = [
  { title: 'one process, in memory', redis: false, replicas: 1, nginx: false },
  { title: 'one replica, Redis', redis: true, replicas: 1, nginx: false },
  { title: 'nginx, one replica, Redis', redis: true, replicas: 1, nginx: true },
  { title: 'nginx, two replicas, Redis', redis: true, replicas: 2, nginx: true }
]
const SERVER_CORE = 0
const LOAD_CORE = 1

const rounds = scriptArguments('npx tsx bench/redis.ts [--rounds 5]').number('rounds')
const compiled = build()
const dir = mkdtempSync(join(tmpdir(), 'bench-redis-'))
const redisPort = await freePort()
const redisProcess = await startRedis(dir, redisPort)
const redis = new Redis(redisPort)
const load = new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE)

const commandsRun = async (): Promise<number> =>
  Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1])
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

async function measure ({ redis: shared, replicas, nginx: behind }: Setup): Promise<Speed> {
  const script = join(compiled, 'bench/servers', shared ? 'ours-redis.js' : 'ours.js')
  const servers = Array.from(
    { length: replicas },
    () => new Child<ServerCalls>(script, SERVER_CORE, { script: shared ? [`redis://127.0.0.1:${redisPort}`] : [] })
  )
  const cpuUsed = async () => sum(await Promise.all(servers.map(server => server.call('cpu'))))
  let nginx: LoadBalancer | undefined
  try {
    const ports = await Promise.all(servers.map(server => server.call('port')))
    let [port = ''] = ports
    if (behind) {
      port = String(await freePort())
      nginx = await startLoadBalancer(mkdtempSync(join(dir, 'nginx-')), Number(port), ports.map(Number))
    }
    await load.call('connect', { port, connections: CONNECTIONS })
    await load.call('callTools', WARM_UP_MS)
    const [cpuBefore, commandsBefore] = [await cpuUsed(), await commandsRun()]
    const { count, seconds } = await load.call('callTools', MEASURED_MS)
    const [cpuAfter, commandsAfter] = [await cpuUsed(), await commandsRun()]
    return {
      callsPerSecond: count / seconds,
      cpu: (cpuAfter - cpuBefore) / count,
      commandsPerSecond: (commandsAfter - commandsBefore) / seconds
    }
  } finally {
    await load.call('close')
    await nginx?.close()
    await Promise.all(servers.map(server => server.end()))
  }
}

try {
  const measured = SETUPS.map(() => new Array<Speed>())
  for (let round = 1; round <= rounds; round++) {
    for (const [index, setup] of SETUPS.entries()) {
      const speed = await measure(setup)
      measured[index]?.push(speed)
      process.stderr.write(
        `round ${round} of ${rounds}, ${setup.title}: ${
          JSON.stringify(
            speed,
            (_key, value: unknown) => typeof value === 'number' ? Number(value.toPrecision(4)) : value
          )
        }\n`
      )
    }
  }
  // against the round's own first setup: what disturbs the machine disturbs both
  const ratio = (speeds: readonly Speed[], value: (speed: Speed) => number) =>
    median(speeds.flatMap((speed, round) => {
      const base = measured[0]?.[round]
      return base === undefined ? [] : [value(speed) / value(base)]
    })).toFixed(2)
  process.stdout.write(
    '| W1 | calls/s | to memory | replicas\' CPU µs per call | to memory | commands of Redis/s |\n' +
      '| --- | ---: | ---: | ---: | ---: | ---: |\n'
  )
  for (const [index, { title }] of SETUPS.entries()) {
    const speeds = measured[index] ?? []
    process.stdout.write(`| ${
      [
        title,
        Math.round(median(speeds.map(({ callsPerSecond }) => callsPerSecond))),
        ratio(speeds, ({ callsPerSecond }) => callsPerSecond),
        Math.round(median(speeds.map(({ cpu }) => cpu))),
        ratio(speeds, ({ cpu }) => cpu),
        median(speeds.map(({ commandsPerSecond }) => commandsPerSecond)).toFixed(1)
      ].join(' | ')
    } |\n`)
  }
} finally {
  await load.end()
  redis.disconnect()
  await end(redisProcess, 'SIGKILL')
  rmSync(dir, { recursive: true, force: true })
  rmSync(compiled, { recursive: true, force: true })
}
