import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export const run = promisify(execFile)

/** Folder of an npm package that the project does not depend on: installed once, into the temporary folder. */
export async function installed (name: string, version: string): Promise<string> {
  const project = join(tmpdir(), 'fastify-mcp-oauth-e2e', `${name.replaceAll('/', '-')}-${version}`)
  const folder = join(project, 'node_modules', name)
  const done = join(project, 'done')
  if (!existsSync(done)) {
    mkdirSync(project, { recursive: true })
    writeFileSync(join(project, 'package.json'), '{"private":true}')
    await run('npm', ['install', '--no-audit', '--no-fund', `${name}@${version}`], { cwd: project })
    writeFileSync(done, '')
  }
  return folder
}

/** A Node.js of that major version. */
export async function nodeOf (major: string): Promise<string> {
  return join(await installed('node', major), 'bin/node')
}
