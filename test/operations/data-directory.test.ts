import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { ConfigError } from '../../src/errors.js'
import { Keyring } from '../../src/oauth/keyring.js'
import { openDataDirectory } from '../../src/process/data/data-directory.js'
import { root } from '../support/root.js'

const KEY = `k:${'A'.repeat(43)}`
const PRODUCTION = {
  NODE_ENV: 'production',
  PUBLIC_URL: 'https://mcp.example.com',
  OAUTH_ISSUER_URL: 'https://login.example.com'
}
const REDIS = { REDIS_URL: 'redis://localhost', ENCRYPTION_KEYS: KEY }

const open = (environment: NodeJS.ProcessEnv) => openDataDirectory(loadConfig(environment, { dotenv: false }))

/** Runs something in a directory, as the process would be. */
function inside<T> (directory: string, run: () => T): T {
  const before = process.cwd()
  process.chdir(directory)
  try {
    return run()
  } finally {
    process.chdir(before)
  }
}

/** The one line that stops the start. */
function refusal (environment: NodeJS.ProcessEnv): string {
  try {
    open(environment)
    return 'it starts'
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message
  }
}

t.test('who says what about the state decides where it is', async t => {
  const directory = t.testdir()
  const [data, other] = [join(directory, '.data'), join(directory, 'other')]
  const state = (path: string) => join(path, 'state.sqlite')
  const demo = (path: string) => join(path, 'demo-login.sqlite')
  const rows: Array<[string, NodeJS.ProcessEnv, stateFile: string | undefined, demoFile: string | undefined]> = [
    ['nothing', {}, state(data), demo(data)],
    ['a directory', { DATA_DIR: 'other' }, state(other), demo(other)],
    ['memory', { DATA_DIR: 'memory' }, undefined, undefined],
    ['Redis', REDIS, undefined, undefined],
    ['Redis and a directory', { ...REDIS, DATA_DIR: 'other' }, undefined, demo(other)],
    ['production', PRODUCTION, undefined, undefined],
    ['production, a directory', { ...PRODUCTION, DATA_DIR: other }, state(other), demo(other)],
    ['production, memory', { ...PRODUCTION, DATA_DIR: 'memory' }, undefined, undefined],
    ['production, Redis', { ...PRODUCTION, ...REDIS }, undefined, undefined],
    ['production, Redis and a directory', { ...PRODUCTION, ...REDIS, DATA_DIR: '/nowhere' }, undefined, undefined]
  ]
  for (const [name, environment, stateFile, demoFile] of rows) {
    t.match(inside(directory, () => open(environment)), { stateFile, demoFile, notes: [] }, name)
  }
  t.equal(statSync(data).mode & 0o777, 0o700, 'others cannot look into it')
  t.equal(readFileSync(join(data, '.gitignore'), 'utf8'), '*\n', 'no repository takes it up')
})

t.test('a key is made once, for its owner alone, and used from then on', async t => {
  const DATA_DIR = join(t.testdir(), 'a/b')
  const { encryptionKeys = '' } = open({ DATA_DIR })
  const file = join(DATA_DIR, 'encryption-key')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(readFileSync(file, 'utf8'), `${encryptionKeys}\n`)
  t.ok(Keyring.canParse(encryptionKeys))
  t.equal(open({ DATA_DIR }).encryptionKeys, encryptionKeys, 'the second start')
  t.not(open({ DATA_DIR: join(DATA_DIR, 'c') }).encryptionKeys, encryptionKeys, 'another directory')
  t.equal(open({ DATA_DIR, ENCRYPTION_KEYS: KEY }).encryptionKeys, KEY, 'those that are configured come first')
  writeFileSync(file, `${KEY}, ${encryptionKeys}\n`)
  t.equal(open({ DATA_DIR }).encryptionKeys, `${KEY}, ${encryptionKeys}`, 'it may hold several: they are being rotated')
})

t.test('no key is made beside those that are configured, nor for Redis', async t => {
  const DATA_DIR = t.testdir()
  open({ DATA_DIR, ENCRYPTION_KEYS: KEY })
  open({ DATA_DIR, ...REDIS })
  t.same(readdirSync(DATA_DIR), [])
})

t.test('a umask does not open the key, and a crash leaves no half of one', async t => {
  const DATA_DIR = t.testdir()
  // of a process that was killed in the middle
  writeFileSync(join(DATA_DIR, 'encryption-key.0123456789ab.new'), 'data-0:AA')
  const before = process.umask(0)
  t.teardown(() => { process.umask(before) })
  t.ok(Keyring.canParse(open({ DATA_DIR }).encryptionKeys ?? ''))
  t.equal(statSync(join(DATA_DIR, 'encryption-key')).mode & 0o777, 0o600)
})

t.test('processes that start at once have one key', async t => {
  const DATA_DIR = join(t.testdir(), 'data')
  const script = `
    import { loadConfig } from ${JSON.stringify(join(root, 'src/config/config.ts'))}
    import { openDataDirectory } from ${JSON.stringify(join(root, 'src/process/data/data-directory.ts'))}
    process.stdin.once('data', () => {
      const config = loadConfig({ DATA_DIR: ${JSON.stringify(DATA_DIR)} }, { dotenv: false })
      console.log(openDataDirectory(config).encryptionKeys)
      process.exit()
    })
    console.log('ready')`
  const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', script]
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
  const outputs = children.map(async ({ stdout }) => (await text(stdout)).split('\n')[1])
  await Promise.all(children.map(({ stdout }) => once(stdout, 'data')))
  for (const { stdin } of children) stdin.write('go')
  const made = new Set(await Promise.all(outputs))
  t.equal(made.size, 1)
  t.ok(Keyring.canParse([...made][0] ?? ''))
  t.same(readdirSync(DATA_DIR).sort(), ['.gitignore', 'encryption-key'], 'and nothing else is left')
})

t.test('a key that cannot be used is one line, which names the file and shows nothing of it', async t => {
  const secret = 'B'.repeat(43)
  const directory = t.testdir()
  const made = (name: string, make: (file: string) => void): [string, string] => {
    const DATA_DIR = join(directory, name)
    mkdirSync(DATA_DIR)
    make(join(DATA_DIR, 'encryption-key'))
    return [name, DATA_DIR]
  }
  const write = (text: string, mode = 0o600) => (file: string) => {
    writeFileSync(file, text)
    chmodSync(file, mode)
  }
  const rows: Array<[[string, string], RegExp]> = [
    [made('world', write(`k:${secret}`, 0o644)), /is open to others \(mode 0644\): chmod 600 it/],
    [made('group', write(`k:${secret}`, 0o620)), /is open to others \(mode 0620\)/],
    [made('empty', write('')), /is not valid; it takes what ENCRYPTION_KEYS takes/],
    [made('half', write(`data-1:${secret.slice(1)}`)), /is not valid/],
    [made('bare', write(secret)), /is not valid/],
    [made('base64', write(`k:${Buffer.alloc(32, 251).toString('base64')}`)), /is not valid/],
    [made('pem', write(`-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`)), /is not valid/],
    [made('twice', write(`k:${secret},k:${secret}`)), /is not valid/],
    [made('bytes', write('\u0000\ufffd\n'.repeat(9))), /is not valid/],
    [made('long', write(`k:${secret},`.repeat(2000))), /is not valid/],
    [made('directory', file => { mkdirSync(file) }), /must be a regular file/],
    [made('pipe', file => { execFileSync('mkfifo', ['-m', '600', file]) }), /must be a regular file/],
    [made('nowhere', file => { symlinkSync('/nowhere/at/all', file) }), /leads nowhere/],
    [made('circle', file => { symlinkSync('encryption-key', file) }), /cannot be read \(ELOOP\)/]
  ]
  for (const [[name, DATA_DIR], pattern] of rows) {
    const line = refusal({ DATA_DIR })
    t.match(line, new RegExp(`^The key file ${join(DATA_DIR, 'encryption-key')} [^\\n]+$`), name)
    t.match(line, pattern, name)
    t.notMatch(line, /BBBB/, name)
  }
})

t.test('a symbolic link to the directory, or to the key, is followed', async t => {
  const directory = t.testdir({ elsewhere: {}, secrets: {} })
  symlinkSync('elsewhere', join(directory, 'data'))
  writeFileSync(join(directory, 'secrets/key'), KEY, { mode: 0o600 })
  symlinkSync('../secrets/key', join(directory, 'elsewhere/encryption-key'))
  t.match(open({ DATA_DIR: join(directory, 'data') }), {
    stateFile: join(directory, 'data/state.sqlite'),
    encryptionKeys: KEY
  })
})

t.test('a new key beside a state that an older one encrypted is a loud line', async t => {
  const DATA_DIR = t.testdir({ 'state.sqlite': '' })
  const [note] = open({ DATA_DIR }).notes
  t.match(note, /^The key file .*encryption-key was missing, and a new one was made/)
  t.same(open({ DATA_DIR }).notes, [])
})

t.test('a directory that cannot be written: refused if it was asked for, otherwise memory, in one line', async t => {
  const cases: Record<string, (path: string) => void> = {
    ENOTDIR: path => { writeFileSync(dirname(path), '') },
    EEXIST: path => {
      mkdirSync(dirname(path))
      writeFileSync(path, '')
    },
    ENOENT: path => {
      mkdirSync(dirname(path))
      symlinkSync('/nowhere/at/all', path)
    }
  }
  const directory = t.testdir()
  for (const [why, prepare] of Object.entries(cases)) {
    const path = join(directory, why, '.data')
    prepare(path)
    t.match(
      refusal({ DATA_DIR: path }),
      new RegExp(`^DATA_DIR is "[^"]+; it takes a directory that this process can write \\(${why}\\), or memory\\.$`),
      why
    )
    if (why === 'ENOTDIR') continue
    const { stateFile, demoFile, encryptionKeys, notes } = inside(dirname(path), () => open({}))
    t.same([stateFile, demoFile, encryptionKeys], [undefined, undefined, undefined], `${why}: in memory`)
    t.match(notes, [/^The directory \.data cannot be written \(E\w+\), and DATA_DIR is not set: [^\n]+$/], why)
  }
})

t.test('a key that is open to others stops the start in the default directory, too', async t => {
  const directory = t.testdir({ '.data': { 'encryption-key': KEY } })
  chmodSync(join(directory, '.data/encryption-key'), 0o644)
  t.match(inside(directory, () => refusal({})), /^The key file \.data\/encryption-key is open to others/)
})
