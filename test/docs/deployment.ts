import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import type { Test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import * as z from 'zod'
import { loadConfig } from '../../src/config/config.js'
import { EnvironmentSchema } from '../../src/config/environment.js'
import { Keyring } from '../../src/oauth/keyring.js'
import { parseObject } from '../support/json.js'
import { root, runnable } from '../support/root.js'
import type { Service } from '../support/service.js'
import { commands, type Command } from './commands.js'
import { read } from './pages.js'
import { started } from './running.js'

const run = promisify(execFile)

/** What the image runs, and how. */
function image () {
  const file = read('Dockerfile')
  const final = file.slice(file.lastIndexOf('\nFROM '))
  const [, variables = ''] = /^ENV (.*)$/m.exec(final) ?? []
  return {
    environment: parseEnv(variables.replaceAll(' ', '\n')),
    port: /^EXPOSE (\d+)$/m.exec(final)?.[1],
    entry: /^ENTRYPOINT (.*)$/m.exec(final)?.[1],
    volume: /^VOLUME (.*)$/m.exec(final)?.[1],
    copied: [...file.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) => sources.split(' '))
  }
}

/** `docker build`: what the Dockerfile copies is there, and let through; it runs what is built. */
export async function dockerfile (t: Test, { where }: Command): Promise<void> {
  const { copied, entry, volume, port, environment } = image()
  const ignored = read('.dockerignore').split('\n')
  t.equal(ignored[0], '*', `${where}: nothing but what is named is let through`)
  t.ok(copied.length > 0, `${where}: something is copied`)
  for (const name of copied) {
    t.ok(existsSync(join(root, name)) && ignored.includes(`!${name.replace(/^\.\//, '')}`), `${where}: ${name}`)
  }
  t.equal(entry, '["node", "dist/cli.js", "serve"]', where)
  t.equal(volume, environment.DATA_DIR, `${where}: its state is in a volume`)
  t.equal(port, environment.PORT, where)
  known(t, where, environment)
}

/**
 * `docker run`: the image serves with these variables, at the port that is published, as the container that others
 * name.
 */
export async function dockerRun (t: Test, { where, text }: Command): Promise<void> {
  const { environment, port } = image()
  const [, published] = / -p \d+:(\d+) /.exec(text) ?? []
  t.equal(published, port, where)
  const given = parseEnv([...text.matchAll(/ -e (\S+)/g)].map(([, pair = '']) => pair).join('\n'))
  known(t, where, given)
  const [, name] = / --name (\S+) /.exec(text) ?? []
  for (const other of commands().filter(({ text }) => text.startsWith('docker exec '))) {
    t.equal(other.text.split(' ')[2], name, `${other.where}: the container's name`)
  }
  t.match(text, new RegExp(` -v \\S+:${environment.DATA_DIR} `), `${where}: its state outlives it`)
  // its proxy passes on the host that clients ask for
  const { url, stop } = await started([process.execPath, ...runnable('src/server')], {
    ...environment,
    ...given,
    HOST: '127.0.0.1',
    ALLOWED_HOSTS: '*',
    // it is not in a container
    DATA_DIR: t.testdir(),
    SHUTDOWN_DELAY_SECONDS: '0'
  })
  const metadata = parseObject(
    await fetch(`${url}/.well-known/oauth-authorization-server`).then(response => response.text())
  )
  await stop()
  t.equal(metadata.issuer, given.PUBLIC_URL, `${where}: it calls itself what clients call it`)
}

const COMPOSE = z.object({
  services: z.record(z.string(), z.looseObject({
    image: z.string(),
    user: z.string().optional(),
    command: z.array(z.string()).optional(),
    environment: z.record(z.string(), z.string()).optional(),
    volumes: z.array(z.string()).optional(),
    depends_on: z.record(z.string(), z.unknown()).optional(),
    ports: z.array(z.string()).optional()
  }))
})
const EXCERPT = z.object({
  services: z.record(z.string(), z.looseObject({
    build: z.string().optional(),
    environment: z.record(z.string(), z.string()),
    depends_on: z.array(z.string()).optional()
  }))
})
type Compose = z.output<typeof COMPOSE>

/**
 * `docker compose up`: the files, services and variables that it names are there, and the replicas take their
 * configuration.
 */
export async function composeFile (t: Test, { where, text }: Command): Promise<void> {
  const file = / -f (\S+) /.exec(text)?.[1]
  if (file !== undefined) {
    singleContainer(t, where, file)
    return
  }
  const { services } = COMPOSE.parse(parse(read('compose.yaml'), { merge: true }))
  bounded(t, where, services)
  const nginx = read('deploy/nginx/nginx.conf')
  const proxied = [...nginx.matchAll(/server (\S+):(\d+) /g)].map(([, host = '', port]) => ({ host, port }))
  t.ok(proxied.length > 1, `${where}: there are replicas`)
  for (const { host, port } of proxied) {
    const settings = Object.fromEntries(
      Object.entries(services[host]?.environment ?? {}).map(([name, value]) => [name, interpolated(value)])
    )
    known(t, where, settings)
    const login = { OAUTH_ISSUER_URL: 'https://login.example.com' }
    t.doesNotThrow(
      () => loadConfig({ ...image().environment, ...settings, ...login }, { dotenv: false }),
      `${where}: ${host} starts`
    )
    t.equal(port, image().port, `${where}: nginx finds ${host}`)
    t.match(
      settings.PUBLIC_URL,
      new RegExp(`:${services.nginx?.ports?.[0]?.split(':')[0]}$`),
      `${where}: where clients come`
    )
  }
  for (const { volumes = [], depends_on: needed = {} } of Object.values(services)) {
    for (const volume of volumes.filter(volume => volume.startsWith('.'))) {
      t.ok(existsSync(join(root, volume.split(':')[0] ?? '')), `${where}: ${volume}`)
    }
    for (const name of Object.keys(needed)) t.ok(name in services, `${where}: ${name}`)
  }
}

/** One container, bounded like the others, that keeps its state in a volume. */
function singleContainer (t: Test, where: string, file: string): void {
  const { services: { app, ...others } } = COMPOSE.parse(parse(read(file)))
  t.same(others, {}, `${where}: one container`)
  t.match(app, BOUNDS, `${where}: it is bounded`)
  const settings = Object.fromEntries(
    Object.entries(app?.environment ?? {}).map(([name, value]) => [name, interpolated(value)])
  )
  known(t, where, settings)
  const { environment, port } = image()
  const login = { OAUTH_ISSUER_URL: 'https://login.example.com' }
  const { dataDir, redisUrl } = loadConfig({ ...environment, ...settings, ...login }, { dotenv: false })
  t.equal(redisUrl, undefined)
  t.equal(app?.volumes?.[0]?.split(':')[1], dataDir, `${where}: the volume is where it keeps its state`)
  t.equal(settings.PUBLIC_URL, `http://localhost:${app?.ports?.[0]?.split(':')[0]}`, `${where}: where clients come`)
  t.equal(app?.ports?.[0]?.split(':')[1], port)
}

/** Services of a page: the one that is built from here starts. */
export function composeExcerpt (t: Test, where: string, excerpt: unknown): void {
  const { services } = EXCERPT.parse(excerpt)
  const ours = Object.values(services).filter(({ build }) => build !== undefined)
  t.equal(ours.length, 1, `${where}: one service is ours`)
  for (const { environment, depends_on: needed = [] } of ours) {
    known(t, where, environment)
    const settings = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, interpolated(value)]))
    t.doesNotThrow(() => loadConfig({ ...image().environment, ...settings }, { dotenv: false }), `${where}: it starts`)
    for (const name of needed) t.ok(name in services, `${where}: ${name}`)
  }
}

const BOUNDS = {
  mem_limit: /^\d+[mg]$/,
  pids_limit: Number,
  read_only: true,
  cap_drop: ['ALL'],
  security_opt: ['no-new-privileges:true']
}

/** No service has all of the machine, or runs as root; Redis wants a password, which is on no command line. */
function bounded (t: Test, where: string, services: Compose['services']): void {
  for (const [name, service] of Object.entries(services)) {
    t.match(service, BOUNDS, `${where}: ${name} is bounded`)
  }
  const { redis, nginx, ...replicas } = services
  t.match(nginx?.image, /^nginxinc\/nginx-unprivileged:/, `${where}: nginx needs no root`)
  t.equal(redis?.user, 'redis', `${where}: nor does Redis`)
  t.match(
    redis?.command?.join(' '),
    /printf 'requirepass %s\\n' "\$\$REDISCLI_AUTH" \| exec redis-server - /,
    `${where}: Redis has a password`
  )
  t.notMatch(redis?.command?.join(' '), /REDIS_PASSWORD|--requirepass/)
  t.match(redis?.environment?.REDISCLI_AUTH, /^\$\{REDIS_PASSWORD:\?/, `${where}: which somebody has to choose`)
  for (const [name, { environment = {} }] of Object.entries(replicas)) {
    t.match(environment.REDIS_URL, /^redis:\/\/:\$\{REDIS_PASSWORD:\?.*\}@/, `${where}: ${name} has it`)
  }
}

// `${NAME:-default}`; what must be given is a URL, or a password in one
function interpolated (value: string): string {
  return value.replace(/\$\{\w+:-(.*)\}/, '$1').replace(/:\$\{\w+:\?.*\}@/, ':password@').replace(
    /\$\{\w+:\?.*\}/,
    'https://login.example.com'
  )
}

const LABELS = z.record(z.string(), z.string())
const PROBE = z.object({ httpGet: z.object({ path: z.string() }) })
const POLICY_RULE = z.object({
  to: z.array(z.object({ ipBlock: z.object({ cidr: z.string(), except: z.array(z.string()) }).optional() })).optional(),
  ports: z.array(z.object({ protocol: z.string(), port: z.number() })).optional()
})
const POD_SPEC = z.object({
  terminationGracePeriodSeconds: z.number(),
  automountServiceAccountToken: z.boolean().optional(),
  containers: z.array(z.object({
    env: z.array(z.object({ name: z.string(), value: z.string() })),
    ports: z.array(z.object({ containerPort: z.number() })),
    startupProbe: PROBE,
    livenessProbe: PROBE,
    readinessProbe: PROBE
  }))
})
const MANIFEST = z.object({
  kind: z.string(),
  stringData: z.record(z.string(), z.string()).optional(),
  spec: z.object({
    template: z.object({ metadata: z.object({ labels: LABELS }), spec: POD_SPEC }).optional(),
    podSelector: z.object({ matchLabels: LABELS }).optional(),
    policyTypes: z.array(z.string()).optional(),
    ingress: z.array(POLICY_RULE).optional(),
    egress: z.array(POLICY_RULE).optional()
  }).optional()
})
type Manifest = z.output<typeof MANIFEST>

/** `kubectl apply`: the manifest's variables are ours, the replicas take them, and its probes are answered. */
export async function kubernetesFile (t: Test, { where, text }: Command, { app }: Service): Promise<void> {
  const manifests = parseAllDocuments(read(text.replace('kubectl apply -f ', ''))).map(document =>
    MANIFEST.parse(document.toJS())
  )
  const secret = manifests.find(({ kind }) => kind === 'Secret')?.stringData ?? {}
  const pod = manifests.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec
  t.equal(pod?.containers.length, 1, where)
  t.equal(pod?.automountServiceAccountToken, false, `${where}: no pod has a token of the cluster`)
  fenced(t, where, manifests)
  for (const { env, ports, startupProbe, livenessProbe, readinessProbe } of pod?.containers ?? []) {
    const settings = { ...secret, ...Object.fromEntries(env.map(({ name, value }) => [name, value])) }
    known(t, where, settings)
    t.match(settings.REDIS_URL, /^rediss:\/\/\w+:[^@]+@/, `${where}: Redis is reached by TLS, with a password`)
    const config = loadConfig({ ...image().environment, ...settings }, { dotenv: false })
    t.throws(
      () => new Keyring(config.encryptionKeys),
      /ENCRYPTION_KEYS/,
      `${where}: an unchanged example key is reported`
    )
    t.equal(String(ports[0]?.containerPort), image().port, where)
    t.ok(
      Number(pod?.terminationGracePeriodSeconds) > config.shutdownDelaySeconds + config.shutdownSeconds + 5,
      `${where}: it has the time to leave`
    )
    for (const { httpGet: { path } } of [startupProbe, livenessProbe, readinessProbe]) {
      t.equal((await app.inject(path)).statusCode, 200, `${where}: ${path}`)
    }
  }
}

/** Whatever a stranger makes the replicas fetch, they reach nothing inside but DNS and Redis. */
function fenced (t: Test, where: string, manifests: readonly Manifest[]): void {
  const labels = manifests.find(({ kind }) => kind === 'Deployment')?.spec?.template?.metadata.labels
  const { podSelector, policyTypes, ingress = [], egress = [] } =
    manifests.find(({ kind }) => kind === 'NetworkPolicy')?.spec ?? {}
  t.same(podSelector?.matchLabels, labels, `${where}: the policy is that of the replicas`)
  t.same(policyTypes, ['Ingress', 'Egress'], where)
  t.same(ingress.flatMap(({ ports = [] }) => ports), [{ protocol: 'TCP', port: Number(image().port) }], where)
  for (const { to = [], ports = [] } of egress) {
    t.ok(to.length > 0 && ports.length > 0, `${where}: each rule says whom, and by which port`)
    for (const { ipBlock } of to) {
      if (ipBlock === undefined) continue
      t.same(ports, [{ protocol: 'TCP', port: 443 }], where)
      const inside = ipBlock.cidr === '::/0'
        ? ['::1/128', 'fc00::/7', 'fe80::/10']
        : ['10.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16']
      for (const range of inside) t.ok(ipBlock.except.includes(range), `${where}: not ${range}`)
    }
  }
}

/** nginx takes its configuration, with the upstream of the replicas as a page has it, or as it is. */
export async function nginxTakes (t: Test, upstream?: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const own = read('deploy/nginx/nginx.conf')
  const [replaced = ''] = /^ {2}upstream replicas \{[^}]+\}\n/m.exec(own) ?? []
  t.ok(replaced.length > 0, 'it has replicas')
  const configuration = own.replace(replaced, upstream ?? replaced)
    .replaceAll(' /tmp/', ` ${folder}/`)
    .replace('/etc/nginx/mcp-proxy.conf', join(root, 'deploy/nginx/proxy.conf'))
    .replaceAll(/app-\d:/g, '127.0.0.1:')
  writeFileSync(join(folder, 'nginx.conf'), `error_log stderr;\n${configuration}`)
  const { stderr } = await run('nginx', ['-t', '-p', folder, '-c', join(folder, 'nginx.conf')])
  t.match(stderr, /test is successful/)
}

/** Every variable is known. */
export function known (t: Test, where: string, environment: object): void {
  t.ok(Object.keys(environment).length > 0, `${where}: there are variables`)
  for (const name of Object.keys(environment)) {
    t.ok(name in EnvironmentSchema.properties, `${where}: ${name} is a variable of the service`)
  }
}
