import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../../errors.js'
import type { Choices } from './choices.js'
import { envExample } from './env-example.js'
import { manifestText } from './manifest.js'

// beside dist/ in the package, and beside src/ in a checkout
const TEMPLATES = fileURLToPath(new URL('../../../templates', import.meta.url))
// npm leaves these out of a package under their own names
const RENAMED: Readonly<Record<string, string>> = { _gitignore: '.gitignore', _dockerignore: '.dockerignore' }

/**
 * Writes a project: all of it, or nothing.
 * @returns the files, by their path in the folder
 * @throws {ConfigError} if the folder is not empty, or is a file
 * @throws {Error} of the file system, once all that was written is removed
 */
export function writeProject (choices: Choices): string[] {
  const { folder } = choices
  checkEmpty(folder)
  const files = renderProject(choices)
  const written: string[] = []
  // the first folder that is new: with it goes all that is below
  let made: string | undefined
  try {
    made = mkdirSync(folder, { recursive: true })
    for (const [file, text] of files) {
      const path = join(folder, file)
      written.push(mkdirSync(dirname(path), { recursive: true }) ?? path)
      writeFileSync(path, text, { flag: 'wx' })
    }
  } catch (error) {
    for (const path of made === undefined ? written : [made]) rmSync(path, { recursive: true, force: true })
    throw error
  }
  return [...files.keys()]
}

function checkEmpty (folder: string): void {
  if (!existsSync(folder)) return
  if (!statSync(folder).isDirectory()) {
    throw new ConfigError(`${folder} is a file. Name a folder that is new, or empty.`)
  }
  const [found] = readdirSync(folder).filter(name => name !== '.git')
  if (found !== undefined) {
    throw new ConfigError(`${folder} is not empty (it has ${found}). Name a folder that is new, or empty.`)
  }
}

/** Every file of a project, by its path. */
function renderProject (choices: Choices): Map<string, string> {
  const files = new Map([['package.json', manifestText(choices)], ['.env.example', envExample(choices)]])
  for (const template of choices.sdk === '1' ? ['project', 'sdk1'] : ['project']) {
    for (const [file, text] of readTemplate(template)) files.set(file, text.replaceAll('PROJECT_NAME', choices.name))
  }
  return new Map([...files].sort(([a], [b]) => a.localeCompare(b)))
}

function readTemplate (name: string): Array<[file: string, text: string]> {
  const folder = join(TEMPLATES, name)
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => statSync(join(folder, file)).isFile())
    .map(file => [RENAMED[file] ?? file, readFileSync(join(folder, file), 'utf8')])
}
