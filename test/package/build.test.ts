import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  watch
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { emitted } from '../support/emitted.js'
import { copyClone, runIn, writeSource, type CloneOptions } from './clone.js'
import { makeFolder } from './project.js'

/*
 * What `npm start` does before it starts, on copies of the clone with sources of the test.
 */
const SOURCES = {
  'cli.ts': "import './a/one.js'\nconsole.log('first')\n",
  'a/one.ts': 'export const one: number = 1\n'
}
const BUILD = [process.execPath, 'scripts/build.js']
const NOBODY = 65_534

function clone (t: Test, packages: CloneOptions['packages'] = ['typescript']) {
  const folder = makeFolder(t)
  copyClone(folder, { sources: SOURCES, packages })
  const dist = join(folder, 'dist')
  return {
    folder,
    dist,
    build: async (uid?: number) => await runIn(folder, BUILD, uid),
    run: async () => (await runIn(folder, [process.execPath, 'dist/cli.js'])).stdout.trim(),
    // the folder itself is another one after each compilation; what has gone may have left it its inode
    compiled: () => {
      const { ino, birthtimeNs } = statSync(dist, { bigint: true })
      return `${ino} ${birthtimeNs}`
    }
  }
}

t.test('nothing is compiled if nothing has changed, whenever it was written', async t => {
  const { folder, build, run, compiled } = clone(t)
  t.same(await build(), { code: 0, stdout: '', stderr: '' })
  t.equal(await run(), 'first')
  const before = compiled()
  await build()
  const later = new Date(Date.now() + 60_000)
  for (const file of Object.keys(SOURCES)) utimesSync(join(folder, 'src', file), later, later)
  await build()
  t.equal(compiled(), before)
})

t.test('whatever changes compiles again', async t => {
  const { folder, dist, build, run, compiled } = clone(t)
  await build()
  const cases: Array<[string, () => void, expected: string]> = [
    ['an edit', () => { writeSource(folder, 'cli.ts', "console.log('other')\n") }, 'other'],
    ['an edit of the same length and time', () => {
      const file = join(folder, 'src/cli.ts')
      const { atime, mtime } = statSync(file)
      writeSource(folder, 'cli.ts', "console.log('third')\n")
      utimesSync(file, atime, mtime)
    }, 'third'],
    ['a pull that brings an older file', () => {
      writeSource(folder, 'cli.ts', "console.log('older')\n")
      utimesSync(join(folder, 'src/cli.ts'), 0, 0)
    }, 'older'],
    ['a new file', () => { writeSource(folder, 'b.ts', 'export {}\n') }, 'older'],
    ['a file that is gone', () => { rmSync(join(folder, 'src/b.ts')) }, 'older'],
    ['another name', () => {
      rmSync(join(folder, 'src/a/one.ts'))
      writeSource(folder, 'a/two.ts', SOURCES['a/one.ts'])
    }, 'older'],
    ['a setting of the compiler', () => {
      const file = readFileSync(join(folder, 'tsconfig.json'), 'utf8')
      writeSource(folder, '../tsconfig.json', file.replace('"inlineSources": true', '"inlineSources": false'))
    }, 'older'],
    ['a lost part of dist', () => { rmSync(join(dist, 'a/two.js')) }, 'older'],
    ['a dist of another origin', () => { rmSync(join(dist, '.sources')) }, 'older'],
    ['no dist', () => { rmSync(dist, { recursive: true }) }, 'older']
  ]
  for (const [name, change, expected] of cases) {
    const before = compiled()
    change()
    t.match(await build(), { code: 0, stderr: '' }, name)
    t.not(compiled(), before, `${name}: compiled`)
    t.equal(await run(), expected, name)
  }
  t.same(readdirSync(join(dist, 'a')), ['two.js', 'two.js.map'], 'nothing is left of what is gone')
  t.same(readdirSync(folder).filter(name => name.startsWith('.dist')), [], 'nor of the way')
})

t.test('an error leaves dist as it was, and is shown again at the next start', async t => {
  const { folder, build, run, compiled } = clone(t, ['typescript', '@types/node', 'undici-types'])
  t.match(await build(), { code: 0, stdout: '' })
  const before = compiled()
  writeSource(folder, 'cli.ts', "const wrong: number = 'text'\nconsole.log(wrong)\n")
  for (const when of ['first', 'second']) {
    t.match(await build(), { code: 2, stdout: /src\/cli\.ts\(1,7\): error TS2322/ }, when)
    t.strictSame([await run(), compiled()], ['first', before], when)
  }
  t.same(readdirSync(folder).filter(name => name.startsWith('.dist')), [])
})

t.test('what cannot be parsed is said without the types, too', async t => {
  const { folder, build } = clone(t)
  writeSource(folder, 'cli.ts', 'const = 1\n')
  t.match(await build(), { code: 1, stderr: /src\/cli\.ts\(1,7\): error TS1134/ })
})

t.test('where it cannot write, it needs nothing if dist is current, and says so otherwise', async t => {
  const uid = process.getuid?.() === 0 ? NOBODY : undefined
  const { folder, build } = clone(t)
  await build()
  const protect = (mode: number) => { for (const path of [folder, join(folder, 'dist')]) chmodSync(path, mode) }
  protect(0o555)
  t.teardown(() => { protect(0o755) })
  t.same(await build(uid), { code: 0, stdout: '', stderr: '' })
  chmodSync(folder, 0o755)
  writeSource(folder, 'cli.ts', '')
  chmodSync(folder, 0o555)
  t.match(await build(uid), { code: 1, stderr: /^dist must be compiled from src, but \S+ cannot be written \(EACCES\)\.\n$/ })
})

t.test('without the compiler: dist alone is started, and sources need it', async t => {
  const { folder, dist, build } = clone(t, [])
  t.match(await build(), { code: 1, stderr: /^dist must be compiled .* the compiler is not installed .*: run npm ci\.\n$/ })
  rmSync(join(folder, 'src'), { recursive: true })
  mkdirSync(dist)
  writeSource(folder, '../dist/cli.js', '')
  t.same(await build(), { code: 0, stdout: '', stderr: '' })
  t.ok(existsSync(join(dist, 'cli.js')))
})

t.test('starts at the same time all find it compiled', async t => {
  const { build, run } = clone(t)
  t.strictSame((await Promise.all(Array.from({ length: 4 }, () => build()))).map(({ code }) => code), [0, 0, 0, 0])
  t.equal(await run(), 'first')
})

t.test('Ctrl-C leaves nothing behind', async t => {
  const { folder, dist } = clone(t, ['typescript', '@types/node', 'undici-types'])
  const begun = new Promise<void>(resolve => {
    const watcher = watch(folder, (_event, name) => { if (name?.startsWith('.dist') === true) resolve() })
    t.teardown(() => { watcher.close() })
  })
  const program = spawn('env', ['-i', `PATH=${process.env.PATH ?? ''}`, ...BUILD], {
    cwd: folder,
    stdio: 'ignore',
    detached: true
  })
  const closed = emitted(program, 'close')
  await begun
  // as a terminal does it: to the compiler, too
  process.kill(-Number(program.pid), 'SIGINT')
  t.not((await closed)[0], 0)
  t.same(readdirSync(folder).filter(name => name.startsWith('.dist')), [])
  t.notOk(existsSync(dist))
})
