import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LineHash } from '../../src/audit/chain.js'
import { auditToFile, type AuditFileOptions } from '../../src/audit/sinks/file.js'
import type { AuditSink } from '../../src/audit/sinks/sink.js'
import { Trail, type TrailOptions } from '../../src/audit/trail.js'
import { verifyAuditFiles } from '../../src/audit/verify.js'

const KEY = new Uint8Array(randomBytes(32))
const unavailable = /This server cannot write its audit log/
/** An event without its place in the chain. */
const event = (action: string) =>
  JSON.stringify({ '@timestamp': new Date().toISOString(), event: { action } }).slice(0, -1)

/** A trail whose log is kept. */
function startTrail (sink: AuditSink, options: Partial<TrailOptions> = {}) {
  const log: string[] = []
  const counts = { written: 0, lost: 0 }
  const say = (_details: unknown, text = '') => { log.push(String(text === '' ? _details : text)) }
  const silent = { fatal: say, error: say, warn: say, info: say, debug: say, trace: say }
  const trail = new Trail({
    sink,
    hash: new LineHash(KEY),
    isRequired: false,
    maxQueuedBytes: 100_000,
    resumed: event,
    log: silent,
    onEvents: (outcome, count) => { counts[outcome] += count },
    ...options
  })
  return { trail, log, counts }
}

/** Writes some events to a file, as one process does. */
async function writeSome (path: string, count: number, options: AuditFileOptions = {}): Promise<void> {
  const { trail } = startTrail(auditToFile(path, options))
  for (let number = 0; number < count; number++) await trail.keep(event(`number ${number}`))
  await trail.close()
}

const toLines = (bytes: Uint8Array) => new TextDecoder().decode(bytes).split('\n').slice(0, -1)
const pathIn = (t: Test) => join(t.testdir({}), 'audit.jsonl')
const verify = async (path: string, head?: string) => {
  const folder = join(path, '..')
  const files = (await readdir(folder)).filter(name => name.endsWith('.jsonl')).map(name => join(folder, name))
  return await verifyAuditFiles(files, { keys: [KEY], head })
}

t.test('a chain continues after a restart and over files, which only their owner may read', async t => {
  const path = pathIn(t)
  let now = Date.parse('2026-01-01T12:00:00Z')
  await writeSome(path, 5, { now: () => now })
  await writeSome(path, 5, { now: () => now, fsync: true })
  now += 86_400_000
  await writeSome(path, 5, { now: () => now })
  await writeSome(path, 5, { now: () => now, maxBytes: 100 })
  t.equal((await stat(path)).mode & 0o777, 0o600)
  const found = await verify(path)
  t.match(found, { events: 24, fault: undefined, begunEarlier: [], heads: { length: 1 } })
  t.ok((await readdir(join(path, '..'))).length > 3, 'by day and by size')
  t.match(await verify(path, found.heads[0]?.hash), { fault: undefined })
  t.match(await verify(path, 'f'.repeat(64)), { fault: { why: /the end is missing/ } })
})

const swap = (lines: string[], at: number) => lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? '')
const alterations: Record<string, (lines: string[]) => string[]> = {
  altered: lines => lines.with(3, lines[3]?.replace('number', 'nombre') ?? ''),
  'altered in its time': lines => lines.with(3, lines[3]?.replace('"@timestamp":"2', '"@timestamp":"1') ?? ''),
  removed: lines => lines.toSpliced(3, 1),
  'removed at the beginning': lines => lines.slice(1),
  swapped: lines => swap(lines, 3),
  inserted: lines => lines.toSpliced(3, 0, lines[5] ?? ''),
  'said twice': lines => lines.toSpliced(3, 0, lines[3] ?? ''),
  'cut off': lines => lines.with(-1, lines.at(-1)?.slice(0, 40) ?? ''),
  'written by somebody without the key': lines => {
    const [, place = ''] = /"chain":"([^"]+)"/.exec(lines[0] ?? '') ?? []
    const audit = `"chain":"${place}","sequence":9,"previous":"0","hash":"${'a'.repeat(64)}"`
    return [...lines, `${event('forged')},"audit":{${audit}}}`]
  }
}
for (const [how, alter] of Object.entries(alterations)) {
  t.test(`an event that was ${how} is found`, async t => {
    const path = pathIn(t)
    await writeSome(path, 7)
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
    await writeFile(path, `${alter(lines).join('\n')}\n`)
    const { fault, begunEarlier } = await verify(path)
    if (how === 'removed at the beginning') t.strictSame(begunEarlier, [2])
    else t.ok(fault !== undefined && fault.line >= 4, fault?.why ?? 'no fault')
  })
}

t.test('a line that a crash cut off is left out, and the chain continues', async t => {
  const path = pathIn(t)
  await writeSome(path, 3)
  await appendFile(path, '{"@timestamp":"20')
  await writeSome(path, 3)
  t.match(await verify(path), { events: 8, fault: undefined })
})

t.test('a file that was moved, or whose folder is gone and comes back, is made again', async t => {
  const path = join(t.testdir({}), 'folder', 'audit.jsonl')
  const folder = join(path, '..')
  await mkdir(folder)
  const { trail, log, counts } = startTrail(auditToFile(path), { isRequired: true })
  await trail.keep(event('one'))
  await rename(path, join(folder, 'moved.jsonl'))
  await trail.keep(event('two'))
  t.match(await verify(path), { events: 3, fault: undefined })
  const moved = await readFile(join(folder, 'moved.jsonl'), 'utf8')
  await rm(folder, { recursive: true })
  await t.rejects(trail.keep(event('refused')), unavailable)
  await t.rejects(trail.check(), /ENOENT/)
  t.match(log, [/^THE AUDIT LOG CANNOT BE WRITTEN/])
  trail.record(() => event('waits'))
  await mkdir(folder)
  while (await trail.check().then(() => false, () => true)) await new Promise(resolve => setTimeout(resolve, 20))
  await trail.keep(event('three'))
  await trail.close()
  const text = await readFile(path, 'utf8')
  t.match(text, /audit-resumed[^]*waits[^]*three/)
  t.notMatch(text, 'refused')
  t.equal(counts.lost, 0)
  t.ok(moved.length > 0)
})

t.test('a full disk: what waits is bounded, what is lost is counted, and the record says so', async t => {
  let isFull = true
  const lines: string[] = []
  const sink: AuditSink = {
    write: async given => {
      if (isFull) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
      lines.push(...toLines(given))
    }
  }
  const { trail, log, counts } = startTrail(sink, { maxQueuedBytes: 2000 })
  for (let number = 0; number < 100; number++) trail.record(() => event(`number ${number}`))
  await t.rejects(trail.keep(event('refused')), unavailable)
  while (log.length === 0 || !log.some(text => text.startsWith('THE AUDIT'))) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.ok(counts.lost > 50)
  isFull = false
  while (lines.length === 0) await new Promise(resolve => setTimeout(resolve, 20))
  await trail.close()
  t.match(JSON.parse(lines[0] ?? ''), { event: { action: 'audit-resumed' }, audit: { lost: counts.lost } })
  t.equal(counts.written, lines.length)
  t.match(log.at(-1), `${counts.lost} events were lost`)
})

t.test('a slow disk keeps nobody waiting who does not want to', async t => {
  let release = () => {}
  const slow = new Promise<void>(resolve => { release = resolve })
  const { trail, counts } = startTrail({ write: async () => { await slow } }, { maxQueuedBytes: 5000 })
  const kept = trail.keep(event('first'))
  for (let number = 0; number < 1000; number++) trail.record(() => event('later'))
  await t.rejects(trail.keep(event('no room')), unavailable)
  t.ok(counts.lost > 900, 'bounded')
  release()
  await kept
  await trail.close()
})

t.test('another process that writes to the same file is noticed, and nothing of it is lost', async t => {
  const path = pathIn(t)
  const { trail } = startTrail(auditToFile(path))
  await trail.keep(event('one'))
  await appendFile(path, 'a line of another\n')
  await t.rejects(trail.keep(event('two')), unavailable)
  await t.rejects(trail.check(), /changed by somebody else/)
  t.match(await readFile(path, 'utf8'), 'a line of another')
  await trail.close()
})

t.test('/dev/full', { skip: process.platform === 'linux' ? false : 'there is no /dev/full' }, async t => {
  const { trail, log } = startTrail(auditToFile('/dev/full'), { isRequired: true })
  await t.rejects(trail.keep(event('one')), unavailable)
  t.match(log, [/CANNOT BE WRITTEN: calls and logins are refused/])
  await trail.close()
})
