import type { ChildProcess } from 'node:child_process'
import { statfsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { end, start } from '../replicas/processes.js'
import { checkFile } from '../fuzz/service.js'
import { freePort } from '../support/free-port.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { Report } from '../support/report.js'
import { root, runnable } from '../support/root.js'
import { DiskLoad } from './disk-load.js'
import { mountExt4, mountTmpfs, type SmallDisk } from './mounts.js'

/*
 * npx tsx test/crashes/disk.ts: the service on a disk that is full, and on one that becomes read-only, under load of
 * logins. It mounts small disks of its own, so it needs root. Without a mount, the same is tried by SQLite's own limits
 * in test/stores/sqlite-file.test.ts.
 */
const LONG_MS = 3000
let stopUpstream = async () => {}
const upstream = await listeningUpstream({ teardown: act => { stopUpstream = async () => { await act() } } })
const port = await freePort()
const url = `http://localhost:${port}`

/** The service, and what it prints. */
class Service {
  readonly output: string[] = []
  readonly #child: ChildProcess

  constructor (directory: string) {
    this.#child = start(process.execPath, runnable('src/server'), {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        PORT: String(port),
        OAUTH_ISSUER_URL: upstream.issuer,
        DATA_DIR: directory,
        TRUST_PROXY: 'true',
        CLIENT_METADATA_DOCUMENTS: 'off',
        MAX_EVENT_LOOP_DELAY_MS: '0',
        LOG_LEVEL: 'error'
      },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', data => { this.output.push(...String(data).split('\n').filter(line => line !== '')) })
    }
  }

  /** @returns whether it serves; false: it has ended */
  async listens (): Promise<boolean> {
    for (;;) {
      if (await readiness() !== undefined) return true
      if (this.#child.exitCode !== null) return false
      await delay(50)
    }
  }

  async kill (signal: NodeJS.Signals): Promise<void> {
    await end(this.#child, signal)
  }
}

async function readiness (): Promise<number | undefined> {
  return await fetch(`${url}/readyz`).then(response => response.status, () => undefined)
}

/** Waits until it is ready, or is not; ten seconds at most. */
async function becomes (status: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    if (await readiness() === status) return true
    await delay(100)
  }
  return false
}

/** Everything under load while the disk cannot be written, and afterwards. */
async function withoutWrites (report: Report, disk: SmallDisk, recover: () => void, spoil?: () => void) {
  const directory = join(disk.path, 'data')
  const service = new Service(directory)
  await service.listens()
  const load = new DiskLoad(url, upstream.issuer)
  await load.logIn()
  const [first] = load.logins
  report.check('ready at first', await becomes(200))
  setTimeout(() => { spoil?.() }, LONG_MS).unref()
  let failing = 0
  await load.runUntil(async () => {
    failing = await readiness() === 503 ? failing || Date.now() : failing
    return failing > 0 && Date.now() - failing > LONG_MS
  })
  report.figure('responses', [...load.statuses].sort().map(([status, count]) => `${status}: ${count}`).join(', '))
  report.check(`refused with 503 (${load.statuses.get(503)})`, (load.statuses.get(503) ?? 0) > 0)
  report.check('/readyz says so', await readiness() === 503)
  report.check('who has a token is served', first !== undefined && await load.isGood(first))
  const told = service.output.find(line => line.includes('"level":50') && line.includes(directory))
  report.check(`the log names the file: ${/SQLite: [^"]*/.exec(told ?? '')?.[0]}`, told !== undefined)
  recover()
  return { directory, service, load }
}

async function verify (report: Report, load: DiskLoad): Promise<void> {
  report.check('ready again', await becomes(200))
  await load.logIn()
  await load.verify()
  report.figure('logins that hold', load.logins.length)
  report.check(`no faults (${load.faults.length})`, load.faults.length === 0)
  for (const fault of new Set(load.faults.slice(0, 10))) report.say(`    ${fault}`)
}

async function refusedStart (report: Report, directory: string, what: string): Promise<void> {
  const service = new Service(directory)
  const refused = !await service.listens()
  await service.kill('SIGKILL')
  const lines = service.output.filter(line => !/^\s+at |^Node\.js/.test(line))
  report.check(`a start on a disk that is ${what} is refused in one line: ${lines.join(' / ')}`,
    refused && service.output.length === 1 && service.output[0]?.includes(directory) === true)
}

async function full (): Promise<void> {
  const report = new Report('A full disk (tmpfs, 4 MB)')
  const disk = mountTmpfs(4)
  try {
    const { directory, service, load } = await withoutWrites(report, disk, () => { disk.resize(16) })
    await verify(report, load)
    await service.kill('SIGTERM')
    checkFile(join(directory, 'state.sqlite'))
    report.check('the file is whole', true)

    const filler = join(disk.path, 'filler')
    const fill = (left: number) => {
      const { bavail, bsize } = statfsSync(disk.path)
      writeFileSync(filler, Buffer.alloc(bavail * bsize - left), { flag: 'a' })
    }
    const again = new Service(directory)
    await again.listens()
    fill(50_000)
    report.check('not ready with less than 64 KiB, before anything fails', await becomes(503))
    rmSync(filler)
    report.check('ready with more', await becomes(200))
    await again.kill('SIGKILL')
    fill(0)
    const onFull = new Service(directory)
    const starts = await onFull.listens()
    await onFull.kill('SIGKILL')
    report.check(`a start on a full disk serves, or is refused in one line: ${onFull.output.join(' / ')}`,
      starts || (onFull.output.length === 1 && onFull.output[0]?.includes('make room') === true))
    await refusedStart(report, join(disk.path, 'other'), 'full, without a file')
    rmSync(filler)
    disk.stopWrites()
    await refusedStart(report, directory, 'read-only')
    await refusedStart(report, join(disk.path, 'new'), 'read-only, without a directory')
    disk.allowWrites()
    const last = new Service(directory)
    report.check('and starts when it can be written', await last.listens())
    await verify(report, load)
    await last.kill('SIGKILL')
  } finally {
    disk.remove()
    report.end()
  }
}

async function readOnly (): Promise<void> {
  const report = new Report('A disk that becomes read-only under load (ext4)')
  const disk = mountExt4(64)
  try {
    const { directory, service, load } = await withoutWrites(report, disk, () => {}, () => { disk.stopWrites() })
    await service.kill('SIGKILL')
    await refusedStart(report, directory, 'read-only')
    disk.allowWrites()
    const again = new Service(directory)
    await again.listens()
    report.check('ready again', await becomes(200))
    report.check(`no faults (${load.faults.length})`, load.faults.length === 0)
    for (const fault of new Set(load.faults.slice(0, 10))) report.say(`    ${fault}`)
    await load.logIn()
    await again.kill('SIGTERM')
    checkFile(join(directory, 'state.sqlite'))
    report.check('the file is whole', true)
  } finally {
    disk.remove()
    report.end()
  }
}

await full()
await readOnly()
await stopUpstream()
