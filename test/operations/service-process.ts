import type { Test } from 'tap'
import { newTokens, register } from '../support/oauth-flow.js'
import { root, runnable } from '../support/root.js'
import { runNode, type RunningProcess } from '../support/running-process.js'
import { freePort } from '../support/free-port.js'

/** The service as a process of its own, with its demo upstream. */
export interface ServiceProcess extends RunningProcess {
  url: string
  /** A new login. @returns the access token */
  logIn (): Promise<string>
}

/** Runs a file of the project as a process with `environment`, and waits for nothing. */
export function runFile (t: Test, file: string, environment: NodeJS.ProcessEnv): RunningProcess {
  return runNode(t, runnable(file), { cwd: root, env: { DATA_DIR: 'memory', ...environment } })
}

/** Runs the service with the fixture's server, and waits until it listens. */
export async function runService (t: Test, environment: NodeJS.ProcessEnv = {}): Promise<ServiceProcess> {
  const [port, upstreamPort] = [await freePort(), await freePort()]
  const running = runFile(t, 'test/operations/fixture-process', {
    PORT: String(port),
    DEMO_UPSTREAM_PORT: String(upstreamPort),
    ...environment
  })
  await running.line(/MCP server: /)
  const target = { url: `http://localhost:${port}`, upstream: { issuer: `http://localhost:${upstreamPort}` }, fetch }
  return {
    ...running,
    url: target.url,
    logIn: async () => {
      return (await newTokens(target, await register(target))).accessToken
    }
  }
}
