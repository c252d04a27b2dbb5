import { execFile, execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import ts from 'typescript'
import * as z from 'zod'
import { parseJson } from '../support/json.js'
import { root } from '../support/root.js'

export const run = promisify(execFile)

/** As it is published: a clone has more dependencies. */
const published = execFileSync(process.execPath, ['scripts/manifest.js', 'print'], { cwd: root, encoding: 'utf8' })

export const manifest = parseJson(published, z.object({
  dependencies: z.record(z.string(), z.string()),
  optionalDependencies: z.record(z.string(), z.string()),
  peerDependencies: z.record(z.string(), z.string()),
  peerDependenciesMeta: z.record(z.string(), z.object({ optional: z.boolean() })),
  exports: z.record(z.string(), z.unknown()),
  bin: z.record(z.string(), z.string()),
  types: z.string(),
  main: z.string()
}))

/** A folder away from the checkout, whose node_modules would be found. It is deleted after the test. */
export function makeFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-package-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  return folder
}

let packed: Promise<string> | undefined

/** Builds and packs what is published, once for all tests of this folder. @returns the tarball */
export function pack (): Promise<string> {
  packed ??= buildAndPack()
  return packed
}

async function buildAndPack (): Promise<string> {
  const source = mkdtempSync(join(tmpdir(), 'mcp-packed-'))
  process.once('exit', () => { rmSync(source, { recursive: true }) })
  writeFileSync(join(source, 'package.json'), published)
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md', 'llms.txt', 'docs', 'templates']) {
    cpSync(join(root, name), join(source, name), { recursive: true })
  }
  // types have been checked with the tests
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--noCheck', '--outDir', join(source, 'dist')])
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--silent'], { cwd: source })
  return join(source, stdout.trim())
}

export interface ProjectOptions {
  /** Sources of the project, a folder beside this file. */
  sources: string
  /** Packages that the project has beside what npm installs with ours. */
  packages?: readonly string[]
  /** Packages of which the project has a copy of its own; ours has the other one. */
  copies?: readonly string[]
}

/** Makes a project that has installed a tarball, and what npm would install with it. */
export async function installInto (project: string, tarball: string, options: ProjectOptions): Promise<string> {
  const { sources, packages = [], copies = [] } = options
  const modules = join(project, 'node_modules')
  const installed = await unpack(tarball, project, copies)
  for (const name of [...packages, '@types/node']) if (!copies.includes(name)) link(name, modules)
  for (const name of copies) {
    link(name, join(installed, 'node_modules'))
    const copy = join(modules, name)
    cpSync(realpathSync(join(root, 'node_modules', name)), copy, {
      recursive: true,
      filter: path => !path.endsWith('.map') && !path.endsWith(`${name}/node_modules`)
    })
    // its dependencies are not copied
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  }
  cpSync(join(root, 'test/package', sources), project, { recursive: true })
  writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
  return installed
}

/**
 * Unpacks a tarball into a project's `node_modules`, with all that it depends on.
 * @param except packages that the project gets in another way
 * @returns where the package is
 */
export async function unpack (tarball: string, project: string, except: readonly string[] = []): Promise<string> {
  const modules = join(project, 'node_modules')
  const installed = join(modules, 'fastify-mcp-oauth')
  mkdirSync(installed, { recursive: true })
  await run('tar', ['xzf', tarball, '-C', installed, '--strip-components', '1'])
  const required = Object.keys(manifest.peerDependencies)
    .filter(name => manifest.peerDependenciesMeta[name]?.optional !== true)
  const { dependencies, optionalDependencies } = manifest
  for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...required]) {
    if (!except.includes(name)) link(name, modules)
  }
  return installed
}

/** Links a package of this checkout, unless it is there. */
export function link (name: string, modules: string): void {
  const path = join(modules, name)
  if (existsSync(path)) return
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(join(root, 'node_modules', name), path)
}

/** Takes a package away, and hides that of a folder above, if there is one. */
export function hide (project: string, name: string): void {
  const path = join(project, 'node_modules', name)
  rmSync(path)
  mkdirSync(path)
  writeFileSync(join(path, 'package.json'), JSON.stringify({ name, exports: {} }))
}

/**
 * Compiles a project.
 * @returns what is wrong with it, and with our declarations (those of other libraries would take half a minute)
 */
export function compile (project: string): string {
  const config = ts.getParsedCommandLineOfConfigFile(join(project, 'tsconfig.json'), {}, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: () => {}
  })
  const program = ts.createProgram(config?.fileNames ?? [], config?.options ?? {})
  const sdks = join(realpathSync(project), 'node_modules/@modelcontextprotocol')
  const ours = program.getSourceFiles().filter(({ fileName }) =>
    fileName.startsWith(realpathSync(project)) && !fileName.startsWith(sdks)
  )
  const problems = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...ours.flatMap(source => [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)])
  ]
  for (const source of ours) if (!source.isDeclarationFile) program.emit(source)
  if (ours.length < 40) return `Only ${ours.length} of our files are reached.`
  return ts.formatDiagnostics(problems, {
    getCurrentDirectory: () => project,
    getCanonicalFileName: name => name,
    getNewLine: () => '\n'
  })
}
