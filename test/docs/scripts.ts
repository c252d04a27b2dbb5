import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { root, runnable } from '../root.js'
import { parseByUsage } from '../script-arguments.js'
import type { Command } from './commands.js'
import { read } from './pages.js'

const run = promisify(execFile)
const { scripts }: { scripts: Record<string, string> } = JSON.parse(read('package.json'))

/** A script of ours takes what the page passes it: by its usage, or where it has a parser of its own, by that. */
export async function takenByScript (t: Test, { where, text }: Command): Promise<void> {
  const command = text.replace(/^(npx -p node@24|LOAD_BALANCER=\S+) /, '')
  const [, file = '', rest = ''] = /^npx tsx (\S+) ?(.*)$/.exec(command.replace(/^npm run (\S+)(?: --)?/, (_, name: string) => `npx ${scripts[name]}`)) ?? []
  if (file === '') throw new Error(`${where}: package.json has no such script`)
  const [, usage] = /scriptArguments\('([^']+)'\)/.exec(read(file)) ?? []
  if (rest.startsWith('[')) t.equal(command, usage, `${where}: the usage of ${file}`)
  else if (usage !== undefined) t.doesNotThrow(() => parseByUsage(usage, words(rest)), `${where}: ${file} takes ${rest}`)
  else t.equal(await exitCode(file, [...words(rest), '--help']), 0, `${where}: ${file} takes ${rest}`)
}

/** How a script of ours ends. */
export async function exitCode (file: string, args: string[]): Promise<number> {
  return await run(process.execPath, [...runnable(file.replace(/\.ts$/, '')), ...args], { cwd: root }).then(() => 0, (error: { code: number }) => error.code)
}

function words (text: string): string[] {
  return text === '' ? [] : text.split(' ')
}
