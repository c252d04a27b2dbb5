import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { find, lacking } from '../support/programs.js'
import { freePort } from '../support/free-port.js'
import { RedisServer } from '../support/redis-process.js'
import { Fuzzer, type Figures, type Finding } from './fuzzer.js'
import type { WorldOptions } from './service.js'
import { World } from './world.js'

const USAGE = `Usage: npm run fuzz -- [--seed N] [--count N] [--store memory|redis|sqlite|all] [--several]
                      [--replay CASE]

Sends N requests of strangers for each store, and says what must not be. With --several, the service has several
servers, one of them a program. A finding names its case, for --replay.
`

const STORES = ['memory', 'redis', 'sqlite'] as const
export type Store = typeof STORES[number]

type Variant = Pick<WorldOptions, 'sessionMode' | 'server' | 'authMode'>

const ONE: readonly Variant[] = [
  { sessionMode: 'stateful', server: 'SDK 1.x', authMode: 'broker' },
  { sessionMode: 'stateful', server: 'SDK 2.x', authMode: 'broker' },
  { sessionMode: 'stateless', server: 'SDK 1.x', authMode: 'broker' },
  { sessionMode: 'stateless', server: 'SDK 2.x', authMode: 'broker' },
  { sessionMode: 'stateful', server: 'SDK 1.x', authMode: 'resource-server' }
]
/** By the server of the three that people are logged in to. */
const SEVERAL: readonly Variant[] = [
  { sessionMode: 'stateful', server: 'SDK 1.x', authMode: 'broker' },
  { sessionMode: 'stateful', server: 'stdio', authMode: 'broker' },
  { sessionMode: 'stateless', server: 'SDK 2.x', authMode: 'broker' },
  { sessionMode: 'stateless', server: 'stdio', authMode: 'broker' },
  { sessionMode: 'stateful', server: 'stdio', authMode: 'resource-server' }
]

/** What a service is fuzzed with. */
export interface Setting {
  store: Store
  /** Whether it has several servers. */
  several?: boolean
}

/** Fuzzes the service in every mode over one store. */
export async function fuzz (
  { store, several = false }: Setting,
  work: (fuzzer: Fuzzer, worlds: readonly World[]) => Promise<void>
): Promise<Fuzzer> {
  const redis = store === 'redis' ? await startRedis() : undefined
  const folder = await mkdtemp(join(tmpdir(), 'fuzz-'))
  const worlds: World[] = []
  try {
    for (const [index, variant] of (several ? SEVERAL : ONE).entries()) {
      const names = [variant.sessionMode, variant.server.replace(/\W/g, ''), variant.authMode]
      worlds.push(
        await World.start({
          ...variant,
          several,
          name: [store, ...several ? ['several'] : [], ...names].join('/'),
          redisUrl: redis?.url,
          stateFile: store === 'sqlite' ? join(folder, `${index}.sqlite`) : undefined
        })
      )
    }
    const fuzzer = new Fuzzer(worlds)
    try {
      await work(fuzzer, worlds)
    } finally {
      fuzzer.close()
    }
    return fuzzer
  } finally {
    for (const world of worlds) await world.close()
    await redis?.end()
    await rm(folder, { recursive: true })
  }
}

async function startRedis (): Promise<RedisServer> {
  const command = find('redis-server')
  if (command === undefined) throw new Error(lacking('redis-server'))
  const server = new RedisServer(command, await freePort(), ['--appendonly', 'no'])
  await server.start()
  return server
}

const megabytes = (bytes: number) => `${Math.round(bytes / 100_000) / 10}`

/** One line of figures. */
export function lineOf (store: Store, seed: number, { requests, statuses, seconds, heap, rss }: Figures): string {
  const classes = [...statuses]
    .sort()
    .map(([status, count]) => `${status} ${count}`)
    .join(', ')
  return `${store}, seed ${seed}: ${requests} requests (${classes}) in ${Math.round(seconds)} s, ${
    Math.round(requests / seconds)
  }/s; heap ${heap.map(megabytes).join(' -> ')} MB; rss ${rss.map(megabytes).join(' -> ')} MB`
}

const say = ({ text, replay }: Finding) => {
  process.stdout.write(`\nFINDING ${text}\nAgain: npm run fuzz -- --replay '${replay}'\n`)
}

async function main (): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      count: { type: 'string', default: '10000' },
      store: { type: 'string', default: 'all' },
      several: { type: 'boolean', default: false },
      replay: { type: 'string' },
      help: { type: 'boolean' }
    }
  })
  const [seed, count] = [Number(values.seed), Number(values.count)]
  const several = values.replay === undefined ? values.several : values.replay.includes('/several/')
  const stores = STORES.filter(store =>
    values.replay === undefined ? values.store === 'all' || values.store === store : values.replay.startsWith(store)
  )
  if (values.help === true || !Number.isSafeInteger(seed) || !(count > 0) || stores.length === 0) {
    process.stderr.write(USAGE)
    return values.help === true ? 0 : 2
  }
  let failed = false
  for (const store of stores) {
    let [said, shown] = [0, 0]
    const { findings, figures } = await fuzz({ store, several }, async fuzzer => {
      const { replay } = values
      await (replay === undefined
        ? fuzzer.run(seed, count, figures => {
          for (const finding of [...fuzzer.findings.values()].slice(shown)) say(finding)
          shown = fuzzer.findings.size
          if (figures.seconds < said + 30) return
          said = figures.seconds
          process.stderr.write(`${lineOf(store, seed, figures)}; ${fuzzer.findings.size} findings\n`)
        })
        : fuzzer.replay(replay))
    })
    for (const finding of [...findings.values()].slice(shown)) say(finding)
    process.stdout.write(`${lineOf(store, seed, figures)}; ${findings.size} findings\n`)
    failed ||= findings.size > 0
  }
  return failed ? 1 : 0
}

if (import.meta.filename === process.argv[1]) process.exit(await main())
