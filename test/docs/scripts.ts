import { execFile } from 'node:child_process'
import { parseEnv, promisify } from 'node:util'
import type { Test } from 'tap'
import * as z from 'zod'
import { parseJson } from '../support/json.js'
import { root, runnable } from '../support/root.js'
import { parseByUsage } from '../support/script-arguments.js'
import type { Command } from './commands.js'
import { read } from './pages.js'

const run = promisify(execFile)
/** What `npm run` runs. */
export const { scripts } = parseJson(read('package.json'), z.object({ scripts: z.record(z.string(), z.string()) }))

/** One of our scripts accepts the arguments on the page: by its usage or, if it has its own parser, by that. */
export async function takenByScript (t: Test, { where, text }: Command): Promise<void> {
  // with another Node.js it takes the same
  const command = text.replace(/^npx -p node@24 /, '').replace(
    /^npm run (\S+)(?: --)?/,
    (_, name: string) => `npx ${scripts[name]}`
  )
  const [, variables = '', file = '', rest = ''] = /^((?:[A-Z_]+=\S+ )*)npx tsx (\S+) ?(.*)$/.exec(command) ?? []
  if (file === '') throw new Error(`${where}: package.json has no such script`)
  const [, usage] = /scriptArguments\(\s*'([^']+)'/.exec(read(file)) ?? []
  if (variables !== '') {
    t.equal(
      await exitCode(file, ['--help'], parseEnv(variables.replaceAll(' ', '\n'))),
      0,
      `${where}: ${file} takes ${variables}`
    )
  }
  if (rest.startsWith('[')) t.equal(command, usage, `${where}: the usage of ${file}`)
  else if (rest === '') t.pass(`${where}: there is ${file}`)
  else if (usage !== undefined) {
    t.doesNotThrow(() => parseByUsage(usage, rest.split(' ')), `${where}: ${file} takes ${rest}`)
  } else t.equal(await exitCode(file, [...rest.split(' '), '--help']), 0, `${where}: ${file} takes ${rest}`)
}

/** The exit code of one of our scripts. */
export async function exitCode (file: string, args: string[], environment: NodeJS.Dict<string> = {}): Promise<number> {
  return await run(process.execPath, [...runnable(file.replace(/\.ts$/, '')), ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, ...environment }
  }).then(() => 0, (error: { code: number }) => error.code)
}
