import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/root.js'
import { answers, end, start } from './processes.js'

/** What stands before the replicas, by `LOAD_BALANCER`: each in strict round robin, set up as `deploy/` has it. */
export interface LoadBalancer {
  /** What it had to complain of. */
  errors (): string[]
  close (): Promise<void>
}

interface Kind {
  /** Seconds until it sends nothing more to a replica that is not ready. */
  turnsAwaySeconds: number
  /** Seconds until it sends requests to a replica that is ready again. */
  comesBackSeconds: number
  /** The program and its parameters; the configuration is written into `dir`. */
  command (dir: string, port: number, replicas: readonly number[]): [string, ...string[]]
}

const kinds = {
  nginx: { turnsAwaySeconds: 1, comesBackSeconds: 2, command: nginx },
  haproxy: { turnsAwaySeconds: 3, comesBackSeconds: 5, command: haproxy },
  caddy: { turnsAwaySeconds: 3, comesBackSeconds: 3, command: caddy }
} satisfies Record<string, Kind>

const isKind = (name: string): name is keyof typeof kinds => name in kinds

/** The name of the load balancer that is asked for. */
export const loadBalancer = process.env.LOAD_BALANCER ?? 'nginx'
if (!isKind(loadBalancer)) throw new Error(`LOAD_BALANCER is one of ${Object.keys(kinds).join(', ')}.`)
export const { turnsAwaySeconds, comesBackSeconds, command } = kinds[loadBalancer]

/** Starts it before replicas that answer `/healthz`. */
export async function startLoadBalancer (
  dir: string,
  port: number,
  replicas: readonly number[]
): Promise<LoadBalancer> {
  const [program, ...parameters] = command(dir, port, replicas)
  const errorFile = join(dir, `${loadBalancer}-errors`)
  const output = openSync(errorFile, 'a')
  const child: ChildProcess = start(program, parameters, {
    stdio: ['ignore', output, output],
    env: { PATH: process.env.PATH, HOME: dir }
  })
  closeSync(output)
  await answers(`http://localhost:${port}/healthz`, child)
  return {
    errors: () => readFileSync(errorFile, 'utf8').split('\n').filter(line => line !== ''),
    close: async () => { await end(child, 'SIGKILL') }
  }
}

const deployed = (file: string): string => readFileSync(join(root, 'deploy', file), 'utf8')

function nginx (dir: string, port: number, replicas: readonly number[]): [string, ...string[]] {
  const config = join(dir, 'nginx.conf')
  mkdirSync(join(dir, 'nginx'))
  writeFileSync(config, `
    daemon off; master_process off; worker_processes 1; pid ${dir}/nginx.pid; error_log stderr;
    events { worker_connections 8192; }
    http {
      access_log off;
      # the bench makes more on one connection than the default of 1,000
      keepalive_requests 1000000;
      client_body_temp_path ${dir}/nginx/body; proxy_temp_path ${dir}/nginx/proxy;
      fastcgi_temp_path ${dir}/nginx/f; uwsgi_temp_path ${dir}/nginx/u; scgi_temp_path ${dir}/nginx/s;
      upstream replicas { ${
      replicas.map(replica => `server 127.0.0.1:${replica} max_fails=1 fail_timeout=1s;`).join(' ')
    } keepalive 256; }
      server {
        listen 127.0.0.1:${port}; listen [::1]:${port};
        location / { proxy_pass http://replicas; include ${root}/deploy/nginx/proxy.conf; }
      }
    }`)
  return ['nginx', '-c', config, '-p', dir]
}

function haproxy (dir: string, port: number, replicas: readonly number[]): [string, ...string[]] {
  const config = join(dir, 'haproxy.cfg')
  const servers = replicas.map((replica, index) => `  server app-${index + 1} 127.0.0.1:${replica}\n`).join('')
  writeFileSync(config, deployed('haproxy/haproxy.cfg')
    .replace('  bind :8080\n', `  bind 127.0.0.1:${port}\n  bind [::1]:${port}\n`)
    .replace(/( {2}server app-\d app-\d:5050\n)+/, servers))
  return ['haproxy', '-db', '-f', config]
}

function caddy (dir: string, port: number, replicas: readonly number[]): [string, ...string[]] {
  const config = join(dir, 'Caddyfile')
  writeFileSync(config, '{\n\tadmin off\n}\n' + deployed('caddy/Caddyfile')
    .replace('mcp.example.com {', `http://:${port} {\n\tbind 127.0.0.1 [::1]`)
    .replace('app-1:5050 app-2:5050', replicas.map(replica => `127.0.0.1:${replica}`).join(' ')))
  return ['caddy', 'run', '--config', config, '--adapter', 'caddyfile']
}
