import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const SUITE = '@modelcontextprotocol/conformance@0.2.0-alpha.12'
// the suite needs a newer Node.js than this service does
const NODE = 'node@24'

/**
 * Runs the MCP conformance suite, showing what it prints.
 * @returns its exit status
 */
export async function runSuite (args: readonly string[], onLine: (line: string) => void): Promise<number> {
  const suite = spawn('npx', ['-y', '-p', NODE, '-p', SUITE, 'conformance', ...args], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const closed: Promise<unknown[]> = once(suite, 'close')
  createInterface({ input: suite.stdout }).on('line', line => {
    process.stdout.write(`${line}\n`)
    onLine(line)
  })
  const [code] = await closed
  return typeof code === 'number' ? code : 1
}

/** Takes our argument from those of the suite. */
export function sdkOf (args: string[]): ['1' | '2', string[]] {
  const at = args.indexOf('--sdk')
  if (at < 0) return ['1', args]
  const sdk = args[at + 1]
  if (sdk !== '1' && sdk !== '2') throw new Error('--sdk is 1 or 2.')
  return [sdk, args.toSpliced(at, 2)]
}

const BEHIND = ['stdio', 'streamable-http', 'sse'] as const
export type Behind = typeof BEHIND[number]

/** Takes another of our arguments: how the server is reached, if it is hosted as one that is not ours. */
export function behindOf (args: string[]): [Behind | undefined, string[]] {
  const at = args.indexOf('--behind')
  if (at < 0) return [undefined, args]
  const behind = BEHIND.find(known => known === args[at + 1])
  if (behind === undefined) throw new Error(`--behind is one of ${BEHIND.join(', ')}.`)
  return [behind, args.toSpliced(at, 2)]
}
