import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { groups, testFiles } from './support/groups.js'

/*
 * The whole suite, three processes at a time: lint, the type check, and each group of test files.
 * Files share a process because to start one costs more than most files take.
 */
// of a process
const TIMEOUT_MS = 600_000
const PRELOADED = ['--import=tsx', '--import=./test/support/fast-path-door.ts']

const ran = new Set<string>()

t.jobs = 3
check('lint', 'npm', ['run', '--silent', 'lint'])
check('types', 'npx', ['tsc', '-p', 'tsconfig.test.json'])
await Promise.all(groups.map(async ({ name }) => await run(name)))
t.same([...ran].sort(), testFiles, 'every test file was run')

/** Runs a group in a process of its own. */
async function run (name: string): Promise<void> {
  const group = t.spawn(process.execPath, [...PRELOADED, 'test/support/run-group.ts', name], {
    name,
    buffered: true,
    // the process tells its own time to this one, which would wait no shorter
    env: { ...process.env, TAP_TIMEOUT: String(TIMEOUT_MS / 1000) }
  })
  group.subtest?.parser.on('comment', (comment: string) => {
    const file = /^# ran (\S+)/.exec(comment)?.[1]
    if (file !== undefined) ran.add(file)
  })
  await group
}

/** Runs a program that checks the code, and fails with what it prints. */
function check (name: string, program: string, args: string[]): void {
  t.test(name, { buffered: true, timeout: TIMEOUT_MS }, async t => {
    const error = await promisify(execFile)(program, args).then(() => undefined, (error: unknown) => error)
    t.notOk(error, name)
  })
}
