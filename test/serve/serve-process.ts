import type { Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { runnable } from '../support/root.js'
import { runNode, type RunningProcess } from '../support/running-process.js'

export interface CommandOptions {
  cwd: string
  env?: NodeJS.ProcessEnv
}

/** Runs the command line of a checkout as a process; ends with the test. */
export function runCommand (t: Test, args: readonly string[], { cwd, env }: CommandOptions): RunningProcess {
  return runNode(t, [...runnable('src/cli'), ...args], { cwd, env: { CLIENT_METADATA_DOCUMENTS: 'off', ...env } })
}

/** Serves, with the demo login, and waits until it listens. */
export async function serve (
  t: Test,
  args: readonly string[],
  options: CommandOptions
): Promise<RunningProcess & { url: string, upstream: { issuer: string } }> {
  const [port, upstreamPort] = [await freePort(), await freePort()]
  const running = runCommand(t, ['serve', '--port', String(port), ...args], {
    ...options,
    env: { DEMO_UPSTREAM_PORT: String(upstreamPort), ...options.env }
  })
  await running.line(/MCP server/)
  return { ...running, url: `http://localhost:${port}`, upstream: { issuer: `http://localhost:${upstreamPort}` } }
}
