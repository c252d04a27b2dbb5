/*
 * Compiles src to dist, unless dist is that of these sources already: `npm run build`, and `npm start` before it
 * starts.
 *
 * What counts is the content of the sources, and which there are, not when they were written: a pull, an edit or a file
 * that is gone compiles again, a checkout of the same does not. It compiles beside dist and then takes its place, so
 * an error, Ctrl-C or a second start at the same time leaves dist as it was, or whole.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
// the state of the sources that dist was compiled from
const STAMP = '.sources'
// what is compiled, and how
const SETTINGS = ['tsconfig.json', 'scripts/build.js']

process.exitCode = await build()

/** @returns the exit code */
async function build () {
  const sources = listSources()
  const entry = existsSync(join(dist, 'cli.js'))
  // an image that has only what it runs
  if (sources.length === 0 && entry) return 0
  const state = describeSources(sources)
  if (isCurrent(sources, state)) return 0
  const obstacle = findObstacle()
  if (obstacle === undefined) return await compile(sources, state)
  if (obstacle.code === 'EROFS' && entry) {
    say(`dist was not compiled from src as it is now, and ${obstacle.says}: what is in dist is started.`)
    return 0
  }
  say(`dist must be compiled from src, but ${obstacle.says}.`)
  return 1
}

function listSources () {
  const src = join(root, 'src')
  if (!existsSync(src)) return []
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !file.endsWith('.d.ts'))
    .map(file => join('src', file))
    .sort()
}

function describeSources (sources) {
  const hash = createHash('sha256')
  for (const file of [...SETTINGS, ...sources]) {
    const text = readFileSync(join(root, file))
    hash.update(`${file}\n${text.length}\n`).update(text)
  }
  return hash.digest('hex')
}

function isCurrent (sources, state) {
  const stamp = join(dist, STAMP)
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === state &&
    sources.every(file => existsSync(join(dist, compiledName(file))))
}

function compiledName (source) {
  return relative('src', source).replace(/\.ts$/, '.js')
}

/** Why nothing can be compiled here. */
function findObstacle () {
  try {
    accessSync(root, constants.W_OK)
  } catch ({ code }) {
    return { code, says: `${root} cannot be written (${code})` }
  }
  if (isInstalled('typescript')) return undefined
  return { code: 'ENOENT', says: 'the compiler is not installed (the package typescript): run npm ci' }
}

function isInstalled (name) {
  return existsSync(join(root, 'node_modules', name, 'package.json'))
}

/** @returns the exit code */
async function compile (sources, state) {
  const made = join(root, `.dist-${process.pid}`)
  const remove = () => { rmSync(made, { recursive: true, force: true }) }
  remove()
  process.once('exit', remove)
  // by default these end the process without an `exit`
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => { process.exit(1) })
  mkdirSync(made)
  // without the development dependencies there are no types to check against
  const exitCode = isInstalled('@types/node') ? await check(made) : transpile(sources, made)
  if (exitCode !== 0) return exitCode
  writeFileSync(join(made, STAMP), state)
  // another start may have done the same, and run it
  if (isCurrent(sources, state)) return 0
  rmSync(dist, { recursive: true, force: true })
  renameSync(made, dist)
  return 0
}

async function check (outDir) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const compiler = spawn(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--outDir', outDir], {
    stdio: 'inherit'
  })
  process.prependOnceListener('exit', () => { compiler.kill('SIGKILL') })
  const [status] = await once(compiler, 'close')
  return status ?? 1
}

function transpile (sources, outDir) {
  const ts = createRequire(import.meta.url)('typescript')
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
  const faults = []
  for (const source of sources) {
    const target = join(outDir, compiledName(source))
    const text = readFileSync(join(root, source), 'utf8')
    const { outputText, sourceMapText, diagnostics = [] } = ts.transpileModule(text, {
      // for the name and the sources in the source map
      fileName: join(root, source),
      // one file alone does not say that all are ES modules
      compilerOptions: {
        ...options,
        module: ts.ModuleKind.ESNext,
        moduleResolution: ts.ModuleResolutionKind.Bundler
      },
      reportDiagnostics: true
    })
    faults.push(...diagnostics)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, outputText)
    if (sourceMapText !== undefined) writeFileSync(`${target}.map`, sourceMapText)
  }
  if (faults.length > 0) {
    say(ts.formatDiagnostics(faults, {
      getCurrentDirectory: () => root,
      getCanonicalFileName: name => name,
      getNewLine: () => '\n'
    }))
  }
  return faults.length > 0 ? 1 : 0
}

function say (text) {
  process.stderr.write(`${text.trimEnd()}\n`)
}
