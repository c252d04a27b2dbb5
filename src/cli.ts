#!/usr/bin/env node
import type { Command } from './cli/command.js'

/* The command line: `fastify-mcp-oauth <command>`. */
const commands: Record<string, () => Promise<{ run: Command }>> = {
  attempts: () => import('./cli/attempts.js'),
  audit: () => import('./cli/audit.js'),
  doctor: () => import('./cli/doctor.js'),
  policy: () => import('./cli/policy.js')
}

const [name = '', ...args] = process.argv.slice(2)
const write = (text: string) => { process.stdout.write(text) }
const load = Object.hasOwn(commands, name) ? commands[name] : undefined
if (load === undefined) {
  write(`Usage: fastify-mcp-oauth <command>; the commands: ${Object.keys(commands).join(', ')}. Each takes --help.\n`)
  process.exitCode = 2
} else {
  const { run } = await load()
  process.exitCode = await run(args, { env: process.env, write })
}
