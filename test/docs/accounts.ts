import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { clientSetups } from '../../src/pages/client-setups.js'
import { loadConfig } from '../../src/config/config.js'
import { Keyring } from '../../src/oauth/keyring.js'
import { sdkOf } from '../conformance/suite.js'
import { root } from '../support/root.js'
import type { Service } from '../support/service.js'
import type { Command } from './commands.js'
import { composeFile, dockerfile, dockerRun, kubernetesFile } from './deployment.js'
import { read } from './pages.js'
import { exampleServes, output, shell, traced, typed } from './running.js'
import { scripts, takenByScript } from './scripts.js'

/** Shows that a command does what the page says: by running it, or by what else runs it. */
export type Account = (t: Test, command: Command, service: Service) => Promise<void>

/** Every command of the docs by how it begins, and what shows that it works. The first that fits counts. */
export const accounts: ReadonlyArray<[begins: RegExp, account: Account]> = [
  // run as they stand, at a service that serves
  [/^curl /, shell],
  [/^(npx fastify-mcp-oauth|docker exec \S+ node dist\/cli\.js|(\S+=… )?node dist\/cli\.js) /, typed],
  [/^openssl rand -hex 32$/, async (t, command) => {
    t.doesNotThrow(
      () => loadConfig({ ADMIN_TOKEN: output(command) }, { dotenv: false }),
      `${command.where}: it makes an ADMIN_TOKEN`
    )
  }],
  [/^node -p "crypto/, async (t, command) => {
    t.doesNotThrow(() => new Keyring(`1:${output(command)}`), `${command.where}: it makes one of ENCRYPTION_KEYS`)
  }],

  // start the service; run until they serve
  [/^docker run /, dockerRun],
  [/^TRACING=true .* npm start$/, traced],
  [/^OAUTH_ISSUER_URL=\S+ npx tsx examples\/\S+\/main\.ts$/, exampleServes],

  // need an engine or a cluster: what they read is checked
  [/^docker build /, dockerfile],
  [/^docker compose up /, composeFile],
  [/^kubectl apply -f /, kubernetesFile],

  // run by something else
  [/^npm ci$/, ranBy('.ci/run', 'npm ci ')],
  [/^npm test$/, ranBy('.ci/run', 'npm test ', /tap$/)],
  [
    /^npm start$/,
    ranBy('test/e2e/start.test.ts', "runnable('src/server')", /^npm run --silent build && exec node dist\/server\.js$/)
  ],
  [/^npm run dev$/, ranBy('test/e2e/start.test.ts', "runnable('src/server')", /^exec tsx watch src\/server\.ts$/)],
  [/^npm run docs$/, ranBy('test/docs/docs.test.ts', 'of generated()', /^tsx test\/docs\/write\.ts$/)],
  [/^npx tsx test\/\S+\.test\.ts$/, async (t, { where, text }) => {
    t.ok(existsSync(join(root, text.slice('npx tsx '.length))), `${where}: there is such a test`)
  }],

  // take minutes, or the network: what they take is checked
  [/^npm ci --prefix \S+$/, async (t, { where, text }) => {
    t.ok(
      existsSync(join(root, text.slice('npm ci --prefix '.length), 'package-lock.json')),
      `${where}: it has a lock file`
    )
  }],
  [/^(npm run conformance -- |npx tsx test\/replicas\/conformance\.ts)/, async (t, { where, text }) => {
    t.doesNotThrow(() => sdkOf((text.split(' -- ')[1] ?? '').split(' ')), `${where}: the suite gets what is not ours`)
  }],
  [/^(npx -p node@24 )?([A-Z_]+=\S+ )*(npx tsx (test|bench)\/|npm run (bench|fuzz))/, takenByScript],

  // foreign programs that are not here, as the service itself names them on its page
  [/^claude mcp add /, asTheServiceSays],
  // downloads itself; test/e2e/inspector.ts runs it
  [/^npx @modelcontextprotocol\/inspector /, asTheServiceSays]
]

/** Another file runs the command, or what the script of that name runs. */
function ranBy (file: string, proof: string, script?: RegExp): Account {
  return async (t, { where, text }) => {
    t.ok(read(file).includes(proof), `${where}: ${file} runs it`)
    if (script !== undefined) t.match(scripts[text.replace(/^npm (run )?/, '')], script, `${where}: the script`)
  }
}

async function asTheServiceSays (t: Test, { where, text }: Command): Promise<void> {
  const { publicUrl } = loadConfig({}, { dotenv: false })
  t.ok(
    clientSetups('demo', `${publicUrl}/mcp`).some(setup => setup.text === text),
    `${where}: the service says the same`
  )
}
