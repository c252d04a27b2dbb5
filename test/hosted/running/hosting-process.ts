import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Test } from 'tap'
import { freePort } from '../../support/free-port.js'
import { root, runnable } from '../../support/root.js'
import { runNode, type RunningProcess } from '../../support/running-process.js'
import { listenFor } from '../../support/service.js'

/** The service as a process of its own that hosts several servers, and can be started again as it was. */
export interface Hosting {
  url: string
  /** Of a person, for all servers. */
  token: string
  start (): Promise<RunningProcess>
}

/** @param servers as `SERVERS_FILE` has them */
export async function hostingProcess (
  t: Test,
  servers: Record<string, object>,
  environment: NodeJS.ProcessEnv = {}
): Promise<Hosting> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = { ...await exportJWK(publicKey), kid: 'key', alg: 'ES256', use: 'sig' }
  let issuer = ''
  const issuerPort = await listenFor(t, ({ url }, response) => {
    const endpoints = { authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` }
    const body = url === '/jwks' ? { keys: [jwk] } : { issuer, jwks_uri: `${issuer}/jwks`, ...endpoints }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  issuer = `http://localhost:${issuerPort}`
  const port = await freePort()
  const url = `http://localhost:${port}`
  const token = await new SignJWT({
    iss: issuer,
    aud: Object.keys(servers).map(name => `${url}/${name}/mcp`),
    sub: 'alice',
    client_id: 'app',
    scope: 'mcp'
  }).setProtectedHeader({ alg: 'ES256', kid: 'key' }).setIssuedAt().setExpirationTime('1h').sign(privateKey)
  const folder = t.testdir({ 'servers.json': JSON.stringify({ mcpServers: servers }) })
  return {
    url,
    token,
    start: async () => {
      const running = runNode(t, runnable('src/server'), {
        cwd: root,
        env: {
          PORT: String(port),
          DATA_DIR: join(folder, 'data'),
          SERVERS_FILE: join(folder, 'servers.json'),
          AUTH_MODE: 'resource-server',
          OAUTH_ISSUER_URL: issuer,
          ...environment
        }
      })
      await running.line(/Server listening/)
      return running
    }
  }
}

/** The processes that a process has started, and those that these have. */
export function descendantsOf (pid: number): number[] {
  const parents = readdirSync('/proc').filter(name => /^\d+$/.test(name)).flatMap(name => {
    try {
      const [, , parent] = readFileSync(`/proc/${name}/stat`, 'latin1').replace(/^.*\) /s, '_ ').split(' ')
      return [[Number(name), Number(parent)] as const]
    } catch {
      return []
    }
  })
  const found = new Set([pid])
  for (let before = 0; before < found.size;) {
    before = found.size
    for (const [child, parent] of parents) if (found.has(parent)) found.add(child)
  }
  found.delete(pid)
  return [...found]
}
