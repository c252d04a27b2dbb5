#!/usr/bin/env node
import * as attempts from './cli/attempts.js'
import type { Command } from './cli/command.js'

/** Each in `src/cli/<name>.ts`. */
const commands: Record<string, Command> = { attempts }

/** `fastify-mcp-oauth <command>`: for operators. */
async function main ([name = '', ...args]: string[]): Promise<number> {
  const io = {
    out: (text: string) => { process.stdout.write(text) },
    err: (text: string) => { process.stderr.write(text) },
    env: process.env
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return await command.run(args, io)
  const help = `fastify-mcp-oauth <command>\n\n${Object.values(commands).map(({ usage }) => `  ${usage}\n`).join('')}`
  if (name === '--help' || name === 'help') io.out(help)
  else io.err(help)
  return name === '--help' || name === 'help' ? 0 : 2
}

process.exitCode = await main(process.argv.slice(2))
