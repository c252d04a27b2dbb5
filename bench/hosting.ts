import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from './build.js'
import { compare } from './compare.js'
import { Child } from './processes.js'
import type { ServerCalls } from './servers/served.js'
import { SERVER_CORE } from './workloads.js'

/*
 * What it costs to host a server that is not in this process: W1 with the same server as a module, as a program on
 * standard input and output (one for each of 32 persons; one for all), and at a URL. Everything but the load is on one
 * core: the speed is that of both sides together, the CPU that of this project's process alone.
 */
const compiled = build()
const program = new Child<ServerCalls>(join(compiled, 'bench/servers/program.js'), SERVER_CORE, { script: ['http'] })
const url = `http://127.0.0.1:${await program.call('port')}/mcp`
try {
  await compare({
    usage: 'npx tsx bench/hosting.ts',
    server: 'hosting',
    variants: ['module', 'stdio', 'shared', 'remote'],
    // a call at a remote server runs much more code, which V8 optimizes after thousands of calls
    warmUpMs: 12_000,
    parametersOf: variant => [variant, url]
  })
} finally {
  await program.end()
  rmSync(compiled, { recursive: true })
}
