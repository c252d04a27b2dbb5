import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { parseJson } from '../support/json.js'
import { root } from '../support/root.js'

/** What is in a clone, as far as it starts. */
const FILES = ['package.json', 'scripts', 'tsconfig.json']

export interface CloneOptions {
  /** Sources by their paths in src; absent: those of this checkout. */
  sources?: Readonly<Record<string, string>>
  /** What is installed; `production`: as `npm ci --omit=dev --omit=optional` does. */
  packages: 'production' | readonly string[]
}

/** Makes a copy of the clone in a folder that is there. */
export function copyClone (folder: string, { sources, packages }: CloneOptions): void {
  for (const name of FILES) cpSync(join(root, name), join(folder, name), { recursive: true })
  if (sources === undefined) cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true })
  else for (const [path, text] of Object.entries(sources)) writeSource(folder, path, text)
  for (const name of packages === 'production' ? productionPackages() : packages) {
    const link = join(folder, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), link)
  }
}

export function writeSource (folder: string, path: string, text: string): void {
  const file = join(folder, 'src', path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/** Those at the top that are neither development nor optional dependencies, nor dependencies of such alone. */
function productionPackages (): string[] {
  const locked = z.object({ dev: z.literal(true).optional(), optional: z.literal(true).optional() })
  const { packages } = parseJson(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
    z.object({ packages: z.record(z.string(), locked) })
  )
  return Object.entries(packages)
    .filter(([, { dev, optional }]) => !dev && !optional)
    .flatMap(([path]) => /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path)?.[1] ?? [])
}

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

/** Runs a program to its end, as another user if there is one. */
export async function runIn (cwd: string, [program = '', ...args]: readonly string[], uid?: number): Promise<Ended> {
  return await new Promise(resolve => {
    const options = { cwd, ...uid !== undefined && { uid, gid: uid } }
    // the test runner adds to the environment of every process that it sees begin
    execFile('env', ['-i', `PATH=${process.env.PATH ?? ''}`, program, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}
