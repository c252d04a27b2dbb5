import { execFile, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import type { Test } from 'tap'
import { Browser, logIn } from '../support/browser.js'
import { authorizationUrlIn } from '../e2e/journeys.js'
import { startProcess } from '../e2e/service-process.js'
import { emitted } from '../support/emitted.js'
import { parseObject, valueAt } from '../support/json.js'
import { find, lacking } from '../support/programs.js'
import { root, runnable } from '../support/root.js'
import { freePort } from '../support/free-port.js'
import { type Service } from '../support/service.js'
import type { Command } from './commands.js'
import { fences, read } from './pages.js'

const run = promisify(execFile)
const { PATH } = process.env

/** Why a test that needs a program is skipped here. In CI it is not: there it fails. */
export function missing (program: string): string | false {
  if (process.env.CI === 'true' || find(program) !== undefined) return false
  return lacking(program)
}

/** What a command prints. */
export function output ({ text }: Command): string {
  return execFileSync('sh', ['-c', text], { encoding: 'utf8' }).trim()
}

/** A line for the shell prints what the page shows, or, where it shows nothing, ends well. */
export async function shell (t: Test, { where, text, shown }: Command, service: Service): Promise<void> {
  const line = shown.length === 0 ? text.replace(/^curl/, 'curl --fail') : text
  const { stdout } = await run('sh', ['-c', here(line, service)], { env: { PATH, ...secrets(service) } })
  const printed = there(stdout, service).split(/\r?\n/)
  let at = 0
  for (const line of shown) {
    const pattern = new RegExp(
      `^${line.split('…').map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`
    )
    const found = printed.findIndex((candidate, index) => index >= at && pattern.test(candidate))
    t.ok(found >= 0, `${where}: prints ${line}`, { printed })
    at = found + 1
  }
}

/** A command of our command line ends well at a service that is well. */
export async function typed (t: Test, { where, text }: Command, service: Service): Promise<void> {
  t.equal(
    valueAt(parseObject(read('package.json')), 'bin', 'fastify-mcp-oauth'),
    'dist/cli.js',
    'the one that is run by its name is the other'
  )
  const args = here(text.replace(/^.*?(node dist\/cli\.js) /, ''), service).split(' ')
  const login = args.includes('--login')
  // in its container it has the environment of the service
  const environment = text.startsWith('docker exec ')
    ? { PUBLIC_URL: service.url, OAUTH_ISSUER_URL: service.upstream.issuer }
    : secrets(service)
  const child = spawn(process.execPath, [...runnable('src/cli'), ...args, ...login ? ['--stream-seconds', '1'] : []], {
    cwd: root, env: { PATH, ...environment }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const printed: string[] = []
  child.stdout.on('data', chunk => printed.push(String(chunk)))
  const closed = emitted(child, 'close')
  if (login) await logIn(new Browser(), await authorizationUrlIn(child.stdout))
  const [code] = await closed
  t.equal(code, 0, `${where}: ${printed.join('')}`)
}

/** A command that starts an example with somebody's login server. */
export async function exampleServes (t: Test, { where, text }: Command, { upstream }: Service): Promise<void> {
  const [, example = ''] = /(examples\/\S+)\.ts$/.exec(text) ?? []
  const { stop } = await started([process.execPath, ...runnable(example)], { OAUTH_ISSUER_URL: upstream.issuer })
  t.pass(`${where}: it serves`)
  await stop()
}

/** The service writes spans where the file of the page, loaded before it, says. */
export async function traced (t: Test, { where, text }: Command): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tracing-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  const [, variables = ''] = /^(.*) npm start$/.exec(text) ?? []
  const file = fences().find(({ page, language }) => language === 'js' && where.startsWith(page))
  writeFileSync(join(folder, 'tracing.mjs'), file?.text ?? '')
  // the SDK that the page installs, as far as it is here: its spans go to the standard output
  const sdk = join(folder, 'node_modules/@opentelemetry/sdk-node')
  mkdirSync(sdk, { recursive: true })
  writeFileSync(join(sdk, 'package.json'), '{"type":"module","exports":"./index.js"}')
  writeFileSync(
    join(sdk, 'index.js'),
    `
    import { ConsoleSpanExporter, NodeTracerProvider, SimpleSpanProcessor } from ${
      JSON.stringify(import.meta.resolve('@opentelemetry/sdk-trace-node'))
    }
    export class NodeSDK {
      start () {
        new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new ConsoleSpanExporter())] }).register()
      }
    }`)
  symlinkSync(join(root, 'node_modules/tsx'), join(folder, 'node_modules/tsx'))

  const service = await started(
    [process.execPath, ...runnable('src/server')],
    parseEnv(variables.replaceAll(/ (?=[A-Z_]+=)/g, '\n')),
    folder
  )
  await service.stop()
  t.match(service.output(), /name: 'POST \/mcp'/, where)
}

/** Starts a service on free ports, and waits until it challenges clients. */
export async function started (command: readonly string[], environment: NodeJS.Dict<string>, cwd = root) {
  const [port, demoPort] = [String(await freePort()), String(await freePort())]
  return await startProcess(`http://localhost:${port}`, command, {
    ...environment,
    PORT: port,
    DEMO_UPSTREAM_PORT: demoPort
  }, cwd)
}

/** The addresses of the docs stand for the service. */
function here (text: string, { url }: Service): string {
  return text.replaceAll('https://mcp.example.com', url).replaceAll('http://localhost:5050', url)
}

function there (text: string, { url }: Service): string {
  return text.replaceAll(url, 'http://localhost:5050')
}

// what the reader has set
function secrets ({ config }: Service): NodeJS.ProcessEnv {
  return { ADMIN_TOKEN: config.adminToken, METRICS_TOKEN: config.metricsToken }
}
