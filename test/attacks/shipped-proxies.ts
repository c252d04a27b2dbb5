import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import { root } from '../support/root.js'

const deployed = (file: string): string => readFileSync(join(root, 'deploy', file), 'utf8')
const START_MS = 10_000
const POLL_MS = 20

/** The proxies that `deploy/` has files for. Each writes its configuration, and gives the command that runs it. */
type ProxyCommand = (folder: string, port: number, replica: number) => [string, ...string[]]

export const shippedProxies: Record<string, ProxyCommand> = {
  nginx (folder, port, replica) {
    const configuration = deployed('nginx/nginx.conf')
      .replace('listen 8080;', `listen 127.0.0.1:${port};`)
      .replace(/(\s+server app-\d:5050 [^;]+;)+/, ` server 127.0.0.1:${replica};`)
      .replaceAll(' /tmp/', ` ${folder}/`)
      .replace('/etc/nginx/mcp-proxy.conf', join(root, 'deploy/nginx/proxy.conf'))
    writeFileSync(join(folder, 'nginx.conf'), `daemon off; master_process off; error_log stderr;\n${configuration}`)
    return ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf')]
  },
  haproxy (folder, port, replica) {
    writeFileSync(join(folder, 'haproxy.cfg'), deployed('haproxy/haproxy.cfg')
      .replace('bind :8080', `bind 127.0.0.1:${port}`)
      .replace(/( {2}server app-\d app-\d:5050\n)+/, `  server app-1 127.0.0.1:${replica}\n`))
    return ['haproxy', '-db', '-f', join(folder, 'haproxy.cfg')]
  },
  caddy (folder, port, replica) {
    writeFileSync(join(folder, 'Caddyfile'), '{\n\tadmin off\n}\n' + deployed('caddy/Caddyfile')
      .replace('mcp.example.com {', `http://:${port} {\n\tbind 127.0.0.1`)
      .replace('app-1:5050 app-2:5050', `127.0.0.1:${replica}`))
    return ['caddy', 'run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile']
  }
}

/** Runs a proxy of `deploy/` before what listens on the port `replica`; ends it with the test. */
export async function startShippedProxy (t: Test, name: string, port: number, replica: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  const [program, ...parameters] = shippedProxies[name]?.(folder, port, replica) ?? [name]
  const child = spawn(program, parameters, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: folder }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  const ended = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true })
  })
  const latest = Date.now() + START_MS
  while (!await fetch(`http://127.0.0.1:${port}/healthz`).then(({ status }) => status === 200, () => false)) {
    if (child.exitCode !== null || Date.now() > latest) throw new Error(`${name} does not serve: ${output}`)
    await delay(POLL_MS)
  }
}
