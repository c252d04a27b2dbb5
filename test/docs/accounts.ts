import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import * as z from 'zod'
import { run as runAudit } from '../../src/cli/audit.js'
import { run as runInit } from '../../src/cli/init.js'
import { run as runPolicy } from '../../src/cli/policy.js'
import { run as runServerJson } from '../../src/cli/server-json.js'
import { parseFlags } from '../../src/cli/serve/flags.js'
import { clientSetups } from '../../src/pages/client-setups.js'
import { loadConfig } from '../../src/config/config.js'
import { Keyring } from '../../src/oauth/keyring.js'
import { sdkOf } from '../conformance/suite.js'
import { parseJson } from '../support/json.js'
import { root } from '../support/root.js'
import type { Service } from '../support/service.js'
import type { Command } from './commands.js'
import { composeFile, dockerfile, dockerRun, kubernetesFile } from './deployment.js'
import { read } from './pages.js'
import { exampleServes, output, shell, traced, typed } from './running.js'
import { scripts, takenByScript } from './scripts.js'

const { name, dependencies, devDependencies, peerDependencies } = parseJson(
  read('package.json'),
  z.object({
    name: z.string(),
    dependencies: z.record(z.string(), z.string()),
    devDependencies: z.record(z.string(), z.string()),
    peerDependencies: z.record(z.string(), z.string())
  })
)
// the SDK of OpenTelemetry is the reader's choice
const used = { ...dependencies, ...devDependencies, ...peerDependencies }
const packages = new Set([name, ...Object.keys(used), '@opentelemetry/sdk-node'])

/** Checks a command of a page: runs it or, if that takes too much, checks what it names. */
export type Account = (t: Test, command: Command, service: Service) => Promise<void>

/** How each command of the docs is checked, by how it begins. The first match counts. */
export const accounts: ReadonlyArray<[begins: RegExp, account: Account]> = [
  // run as they are, with a running service
  [/^curl /, shell],
  [/^(docker exec \S+ node dist\/cli\.js|(\S+=… )?node dist\/cli\.js) /, typed],
  [/^fastify-mcp-oauth policy /, async (t, { where, text }) => {
    const args = [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
    t.equal(await runPolicy(args.slice(2), { env: {}, write () {} }), 0, where)
  }],
  [/^(npx )?fastify-mcp-oauth serve( |$)/, async (t, { where, text }) => {
    const args = [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
    const flags = parseFlags(args.slice(args.indexOf('serve') + 1))
    if (flags === 'help' || 'wrong' in flags) throw new Error(`${where}: ${JSON.stringify(flags)}`)
    const env: NodeJS.ProcessEnv = {}
    // the files of the pages are not here
    for (const [variable, set] of Object.entries(flags)) if (variable !== 'SERVERS_FILE') env[variable] = set?.value
    // what the page says to put into the environment
    if (env.OAUTH_CLIENT_ID !== undefined) env.OAUTH_CLIENT_SECRET = 'secret'
    t.doesNotThrow(() => loadConfig(env, { dotenv: false }), where)
  }],
  [/^npx fastify-mcp-oauth server-json /, async (t, { where, text }) => {
    const args = [...text.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '').slice(3)
    t.equal(await runServerJson([...args, '--help'], { env: {}, write () {} }), 0, where)
  }],
  [/^npx \S*fastify-mcp-oauth\S* init /, async (t, { where, text }) => {
    const [, args = ''] = text.split(' init ')
    t.equal(await runInit([...args.split(' '), '--help'], { env: {}, write () {} }), 0, where)
  }],
  // test/package/init.test.ts does as they do
  [/^npm (create fastify-mcp-oauth|install)$/, async (t, { where }) => {
    t.ok(existsSync(join(root, 'create/index.js')), where)
  }],
  [/^fastify-mcp-oauth audit verify /, async (t, { where }) => {
    const log = join(t.testdir({ 'audit.jsonl': '' }), 'audit.jsonl')
    t.equal(await runAudit(['verify', log], { env: {}, write () {} }), 0, where)
  }],
  [/^openssl rand -hex 32$/, async (t, command) => {
    t.doesNotThrow(
      () => loadConfig({ ADMIN_TOKEN: output(command) }, { dotenv: false }),
      `${command.where}: it makes an ADMIN_TOKEN`
    )
  }],
  [/^node -p "crypto/, async (t, command) => {
    t.doesNotThrow(() => new Keyring(`1:${output(command)}`), `${command.where}: it makes one of ENCRYPTION_KEYS`)
  }],

  // start the service: run until it serves
  [/^docker run /, dockerRun],
  [/^TRACING=true .* npm start$/, traced],
  [/^OAUTH_ISSUER_URL=\S+ npx tsx examples\/\S+\/main\.ts$/, exampleServes],

  // need an engine or a cluster: the files they read are checked
  [/^docker build /, dockerfile],
  [/^docker compose (-f \S+ )?up /, composeFile],
  [/^kubectl apply -f /, kubernetesFile],

  // take minutes, or the network: it is checked that what they name exists
  [/^([A-Z_]+=\S+ )*npm (test|start|run (build|dev|docs|lint))$/, async (t, { where, text }) => {
    const script = scripts[text.replace(/^.*npm (run )?/, '')] ?? ''
    t.not(script, '', `${where}: package.json has the script`)
    for (const [file] of script.matchAll(/\b(src|dist|test)\/\S+/g)) {
      t.ok(existsSync(join(root, file.replace(/^dist(.*)\.js$/, 'src$1.ts'))), `${where}: ${file}`)
    }
  }],
  [/^npm ci( --omit=dev| --prefix \S+)?$/, async (t, { where, text }) => {
    const [, folder = '.'] = text.split(' --prefix ')
    t.ok(existsSync(join(root, folder, 'package-lock.json')), `${where}: there is a lock file`)
  }],
  [/^npm pack$/, async (t, { where }) => {
    t.ok(scripts.prepack, `${where}: it builds what it packs`)
  }],
  [/^npm install /, async (t, { where, text }) => {
    for (const name of text.split(' ').slice(2)) t.ok(packages.has(name), `${where}: ${name} is ours, or we use it`)
  }],
  [/^([A-Z_]+=\S+ )*npx (tap|tsx) test\/\S+\.test\.ts$/, async (t, { where, text }) => {
    t.ok(existsSync(join(root, text.replace(/^.* /, ''))), `${where}: there is such a test`)
  }],

  // take minutes, or the network: their arguments are checked
  [/^(npm run conformance -- |npx tsx test\/replicas\/conformance\.ts)/, async (t, { where, text }) => {
    t.doesNotThrow(() => sdkOf((text.split(' -- ')[1] ?? '').split(' ')), `${where}: the suite gets what is not ours`)
  }],
  [/^(npx -p node@24 )?([A-Z_]+=\S+ )*(npx tsx (test|bench)\/|npm run (bench|fuzz))/, takenByScript],

  // other programs: the page at / shows the same command
  [/^claude mcp add /, asTheServiceSays],
  [/^npx @modelcontextprotocol\/inspector /, asTheServiceSays]
]

async function asTheServiceSays (t: Test, { where, text }: Command): Promise<void> {
  const { publicUrl } = loadConfig({}, { dotenv: false })
  t.ok(
    clientSetups(`${publicUrl}/mcp`).some(setup => setup.text === text),
    `${where}: the service says the same`
  )
}
