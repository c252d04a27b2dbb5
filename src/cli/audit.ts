import { parseArgs } from 'node:util'
import { CHAIN_PURPOSE, verifyAuditFiles, type Verification } from '../audit/verify.js'
import { readDotenv, withoutEmpty } from '../config/environment.js'
import { ConfigError } from '../errors.js'
import { Keyring } from '../oauth/keyring.js'
import type { CommandIo } from './command.js'

const USAGE = `Usage: fastify-mcp-oauth audit verify [options] file…

Whether audit logs are complete, in order and unaltered: how many events, from when to when, and the first line that
does not fit. Files of one chain may be given in any order. Takes ENCRYPTION_KEYS from the environment, or from .env.

  --head HASH   the last event must have this hash: shows that the end is there
  --mixed       there are other lines, and chains of several processes: what was collected from standard output
  --unkeyed     events without a key are good, too: from before ENCRYPTION_KEYS was set
`

/** Verifies audit logs. */
export async function run (args: string[], { write, env }: CommandIo): Promise<number> {
  const parsed = parse(args)
  if (parsed === undefined) {
    write(USAGE)
    return args.includes('--help') ? 0 : 2
  }
  try {
    const keys = parsed.unkeyed ? [] : readKeys(env)
    const found = await verifyAuditFiles(parsed.files, { keys, head: parsed.head, isMixed: parsed.mixed })
    write(format(found))
    return found.fault === undefined ? 0 : 1
  } catch (error) {
    const isExpected = error instanceof ConfigError || (error instanceof Error && 'code' in error)
    if (!isExpected) throw error
    write(`${error.message}\n`)
    return 2
  }
}

function parse (args: string[]) {
  try {
    const { values, positionals: [command, ...files] } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        head: { type: 'string' },
        mixed: { type: 'boolean', default: false },
        unkeyed: { type: 'boolean', default: false }
      }
    })
    return command === 'verify' && files.length > 0 ? { ...values, files } : undefined
  } catch {
    return undefined
  }
}

/** The keys of the environment, or else of `.env`. @throws {ConfigError} */
function readKeys (env: NodeJS.ProcessEnv): Uint8Array[] {
  const { ENCRYPTION_KEYS: keys } = { ...readDotenv(), ...withoutEmpty(env) }
  return keys === undefined ? [] : new Keyring(keys).derive(CHAIN_PURPOSE)
}

function format ({ events, from, to, heads, begunEarlier, fault }: Verification): string {
  const lines = [
    events === 0 ? 'No events.' : `${events} events, from ${from} to ${to}.`,
    ...begunEarlier.map(sequence => `Begins with event ${sequence}: the events before it are not in these files.`),
    ...heads.map(({ chain, sequence, hash }) => `Chain ${chain} ends with event ${sequence}, hash ${hash}`),
    fault === undefined
      ? 'Everything fits.'
      : `DOES NOT FIT: ${fault.file}${fault.line === 0 ? '' : `, line ${fault.line}`}: ${fault.why}.`
  ]
  return lines.map(line => `${line.replace(/\p{Cc}/gu, '')}\n`).join('')
}
