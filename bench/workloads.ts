import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { LoadCalls } from './load/main.js'
import { Child } from './processes.js'
import type { ServerCalls } from './servers/served.js'

/**
 * A server that is measured: by sessions (W1, W3, W4), by stateless requests (W2; the script gets this and the number
 * of tools), or both.
 */
interface Measured { title: string, script: string, sessions?: boolean, stateless?: string }

/** What is measured, the reference first. */
export const servers = {
  reference: {
    title: 'Reference: bare Fastify route, constant answers',
    script: 'servers/reference.js',
    sessions: true,
    stateless: ''
  },
  ours: {
    title: '**This project**: Fastify, `bearerAuth`, `mcpTransports`',
    script: 'servers/ours.js',
    sessions: true,
    stateless: 'sdk2'
  },
  'ours-reused': { title: '**This project** with `reuseInstances`', script: 'servers/ours.js', stateless: 'reused' },
  'ours-sdk1': {
    title: '**This project** with a server of SDK 1.x, through the bridge',
    script: 'servers/ours.js',
    stateless: 'sdk1'
  },
  'ours-sdk1-reused': {
    title: '**This project** through the bridge, with `reuseInstances`',
    script: 'servers/ours.js',
    stateless: 'sdk1-reused'
  },
  'express-sdk1': { title: 'SDK 1.x transport on Express', script: 'peers/express-sdk1.js', sessions: true },
  'fastify-sdk1': {
    title: 'SDK 1.x transport on Fastify (`reply.hijack()`)',
    script: 'peers/fastify-sdk1.js',
    sessions: true
  },
  'fastify-sdk2': {
    title: 'SDK 2.x Node transport on Fastify (`reply.hijack()`)',
    script: 'peers/fastify-sdk2.js',
    sessions: true
  },
  'fastify-mcp': { title: '`fastify-mcp`', script: 'peers/fastify-mcp.js', sessions: true },
  'stateless-sdk2': {
    title: 'SDK 2.x: `createMcpHandler`, `toNodeHandler` on Fastify (`reply.hijack()`)',
    script: 'peers/stateless-sdk2.js',
    stateless: 'sdk2'
  }
} as const satisfies Record<string, Measured>

export type ServerName = keyof typeof servers

export interface Bench {
  /** Folder of the compiled scripts. */
  compiled: string
  names: readonly ServerName[]
  rounds: number
  /** Where CPU profiles of the servers go. */
  profiles: string | undefined
  progress (text: string): void
}

/** One round of W1, W2 or W3. */
export interface Speed {
  perSecond: number
  /** Microseconds of server CPU for each. */
  cpu: number
  /** Share of a core that the server used. */
  busy: number
}

/** One round of W4: bytes for each session. */
export interface Weight { rss: number, heap: number }

/** What every round measured, by server. */
export type Rounds<T> = Map<ServerName, T[]>

export const CONNECTIONS = 32
/** Of the servers of W2. */
export const TOOL_COUNTS = [1, 100] as const
// until V8 has compiled what it will: the longer the path, the later
export const WARM_UP_MS = 6000
export const MEASURED_MS = 4000
export const IDLE_WITH_STREAM = 2000
export const IDLE_WITHOUT_STREAM = 20_000
const IDLE_WARM_UP = 200
export const SERVER_CORE = 0
export const LOAD_CORE = 1
const OPEN_IDLE_MS = 600_000
// our instances go after a second
const SETTLE_MS = 3000
// a server that was not busy for this share of the time shared its core with another process, or waited for the load
export const UNDISTURBED = 0.9
export const ATTEMPTS = 4

type Measure<T> = (server: Child<ServerCalls>, load: Child<LoadCalls>, port: string) => Promise<T>

/** A workload: how its servers are started, and what is measured of them. */
interface Workload<T> {
  title: string
  /** The server's parameters; undefined for a server that the workload is not for. */
  script (server: Measured): readonly string[] | undefined
  node?: readonly string[]
  measure: Measure<T>
}

const ofSessions = (...script: string[]) => ({ sessions }: Measured) => sessions === true ? script : undefined

/** W1: calls of the tool `add`, each in a session. */
export const measureCalls = async (bench: Bench): Promise<Rounds<Speed>> =>
  await inTurn(bench, { title: 'W1', script: ofSessions(), measure: speedOf('connect', 'callTools') })

/** W2: calls of the tool `add` of revision 2026-07-28, without sessions, of a server with so many tools. */
export const measureStateless = async (bench: Bench, tools: number): Promise<Rounds<Speed>> => await inTurn(bench, {
  title: `W2 with ${tools} tools`,
  script: ({ stateless }) => stateless === undefined ? undefined : [stateless, String(tools)],
  measure: speedOf('connectStateless', 'callTools')
})

/** W3: `initialize` and `notifications/initialized`. */
export const measureSessions = async (bench: Bench): Promise<Rounds<Speed>> =>
  await inTurn(bench, { title: 'W3', script: ofSessions(), measure: speedOf('connect', 'openSessions') })

/** W4: what is kept for a session that does nothing. */
export const measureIdle = async (bench: Bench, withStreams: boolean): Promise<Rounds<Weight>> => await inTurn(bench, {
  title: withStreams ? 'W4 with streams' : 'W4 without streams',
  script: ofSessions('idle'),
  node: ['--expose-gc'],
  measure: async (server, load, port) => {
    const sessions = withStreams ? IDLE_WITH_STREAM : IDLE_WITHOUT_STREAM
    await load.call('openIdle', { port, sessions: IDLE_WARM_UP, withStreams }, OPEN_IDLE_MS)
    await load.call('endIdle')
    await delay(SETTLE_MS)
    const before = await server.call('memory')
    await load.call('openIdle', { port, sessions, withStreams }, OPEN_IDLE_MS)
    await delay(SETTLE_MS)
    const after = await server.call('memory')
    await load.call('checkIdle')
    return { rss: (after.rss - before.rss) / sessions, heap: (after.heapUsed - before.heapUsed) / sessions }
  }
})

/** Measures how fast something is done, once V8 has compiled it. */
function speedOf (
  connect: 'connect' | 'connectStateless',
  work: 'callTools' | 'openSessions'
): Measure<Speed> {
  return async (server, load, port) => {
    await load.call(connect, { port, connections: CONNECTIONS })
    await load.call(work, WARM_UP_MS)
    for (let attempt = 1; ; attempt++) {
      const before = await server.call('cpu')
      const { count, seconds } = await load.call(work, MEASURED_MS)
      const cpu = await server.call('cpu') - before
      const busy = cpu / seconds / 1e6
      if (busy >= UNDISTURBED || attempt === ATTEMPTS) return { perSecond: count / seconds, cpu: cpu / count, busy }
    }
  }
}

/** Measures every server once a round, each time in a new process. */
async function inTurn<T> (
  { compiled, names, rounds, profiles, progress }: Bench,
  { title, script, node = [], measure }: Workload<T>
): Promise<Rounds<T>> {
  const measured: Rounds<T> = new Map()
  const load = new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE)
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const name of names) {
        const parameters = script(servers[name])
        if (parameters === undefined) continue
        const profile = profiles === undefined
          ? []
          : [
              '--cpu-prof',
            `--cpu-prof-dir=${profiles}`,
            `--cpu-prof-name=${title.replaceAll(' ', '-')}.${name}.${round}.cpuprofile`
            ]
        const server = new Child<ServerCalls>(join(compiled, 'bench', servers[name].script), SERVER_CORE, {
          node: [...node, ...profile],
          script: parameters
        })
        try {
          const result = await measure(server, load, await server.call('port'))
          measured.set(name, [...measured.get(name) ?? [], result])
          progress(
            `${title}, round ${round} of ${rounds}, ${name}: ${
              JSON.stringify(
                result,
                (_key, value: unknown) => typeof value === 'number' ? Number(value.toPrecision(4)) : value
              )
            }\n`
          )
        } finally {
          await load.call('close')
          await server.end()
        }
      }
    }
  } finally {
    await load.end()
  }
  return measured
}
