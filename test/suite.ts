import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { root } from './support/root.js'

/*
 * The whole suite, three processes at a time: lint, the type check, and for each folder of tests a process that runs its
 * files one after another. To start a process costs more than most files take.
 */
// each of these files has a process to itself: together they do not end (they kill Redis in the middle of commands)
const ALONE = ['stores']
// a process takes at most this many: a long one that ends last would run on one core
const MOST_FILES = 12
// of a process
const TIMEOUT_MS = 900_000

const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.test.ts'))
  .sort()
const groups = [...new Set(files.map(file => dirname(file)))]
  .flatMap(folder => split(folder, files.filter(file => dirname(file) === folder)))
  .sort((a, b) => b.files.length - a.files.length)
const ran = new Set<string>()

t.jobs = 3
check('lint', 'node_modules/eslint/bin/eslint.js', '.')
check('types', 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json', '--noEmit')
await Promise.all(groups.map(async ({ name, files }) => await run(name, files)))
t.same([...ran].sort(), files, 'every test file was run')

/** The files of a folder, for so many processes as they need. */
function split (folder: string, files: string[]): Array<{ name: string, files: string[] }> {
  const count = ALONE.includes(folder) ? files.length : Math.ceil(files.length / MOST_FILES)
  return Array.from({ length: count }, (_, part) => ({
    name: count === 1 ? join('test', folder) : `${join('test', folder)} ${part + 1}/${count}`,
    // every count-th file: neighbours in the alphabet are alike, and so is what they take
    files: files.filter((_, index) => index % count === part)
  }))
}

/** Runs test files in a process of their own. */
async function run (name: string, files: string[]): Promise<void> {
  const group = t.spawn(process.execPath, ['--import', 'tsx', 'test/support/run-files.ts', ...files], {
    name,
    buffered: true,
    timeout: TIMEOUT_MS
  })
  group.subtest?.parser.on('comment', (comment: string) => {
    const file = /^# ran (\S+)/.exec(comment)?.[1]
    if (file !== undefined) ran.add(file)
  })
  await group
}

/** A program that looks at the code, and fails with what it prints. */
function check (name: string, ...args: string[]): void {
  t.test(name, { buffered: true, timeout: TIMEOUT_MS }, async t => {
    const error = await promisify(execFile)(process.execPath, args).then(() => undefined, (error: unknown) => error)
    t.notOk(error, name)
  })
}
