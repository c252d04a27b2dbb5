import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Browser, logIn } from '../support/browser.js'
import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { INSTALLED } from './client-list.js'
import { installed } from './installed.js'
import { authorizationUrlIn } from './journeys.js'
import { startStandInModel } from './stand-in-model.js'
import { targetOf } from './targets.js'

/*
 * Assistants of npm at a running service.
 * Each logs in, and calls `add` with 2 and 3 because its model says so; the model is a stand-in on this machine.
 */
const { positionals: [chosen = 'start'] } = scriptArguments(
  'npx tsx test/e2e/assistants.ts [start | consumer | dist-redis | URL]'
)
const { codex: CODEX, opencode: OPENCODE } = INSTALLED
const PROMPT = 'Add 2 and 3.'
const CALL_MS = 100_000
const LOGIN_MS = 60_000

const home = mkdtempSync(join(tmpdir(), 'assistants-'))
const environment = { HOME: home, CODEX_HOME: home, PATH: '/nonexistent', STAND_IN_KEY: 'none' }

type Command = readonly [string, ...string[]]

/** Starts a program that can open no browser. It ends in time, with those that it starts. */
function begin ([program, ...args]: Command, ms: number) {
  const child = spawn(program, args, {
    cwd: home,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true
  })
  const ended = new Promise<number | null>(resolve => { child.once('close', resolve) })
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it has ended
    }
  }
  const timer = setTimeout(kill, ms)
  child.once('close', () => { clearTimeout(timer) })
  return { child, ended, kill }
}

/** Runs a program to its end. @returns what it printed */
async function run (...command: Command): Promise<string> {
  const { child } = begin(command, CALL_MS)
  return (await Promise.all([text(child.stdout), text(child.stderr)])).join('\n')
}

/** Runs a program that prints where to log in, and ends when somebody has. */
async function logInBy (...command: Command): Promise<void> {
  const { child, ended, kill } = begin(command, LOGIN_MS)
  try {
    const url = await Promise.any([authorizationUrlIn(child.stdout), authorizationUrlIn(child.stderr)])
    await logIn(new Browser(), url)
    assert.equal(await ended, 0, 'exit code after the login')
  } finally {
    kill()
  }
}

async function codex (url: string, modelUrl: string): Promise<void> {
  const command = [process.execPath, join(await installed('@openai/codex', CODEX), 'bin/codex.js')] as const
  writeFileSync(join(home, 'config.toml'), [
    'model = "stand-in"',
    'model_provider = "stand-in"',
    '[model_providers.stand-in]',
    'name = "stand-in"',
    `base_url = "${modelUrl}"`,
    'env_key = "STAND_IN_KEY"',
    'wire_api = "responses"',
    ''
  ].join('\n'))
  await logInBy(...command, 'mcp', 'add', 'demo', '--url', `${url}/mcp`)
  const printed = await run(...command, 'exec', '--skip-git-repo-check', PROMPT)
  assert.match(printed, /The tool said .*5/, printed)
}

async function opencode (url: string, modelUrl: string): Promise<void> {
  const name = `opencode-${process.platform}-${process.arch}`
  const command = join(await installed(name, OPENCODE), 'bin/opencode')
  writeFileSync(join(home, 'opencode.json'), JSON.stringify({
    autoupdate: false,
    share: 'disabled',
    model: 'stand-in/stand-in',
    small_model: 'stand-in/stand-in',
    provider: {
      'stand-in': {
        npm: '@ai-sdk/openai-compatible',
        name: 'Stand-in',
        options: { baseURL: modelUrl, apiKey: 'none' },
        models: { 'stand-in': { name: 'Stand-in', tool_call: true } }
      }
    },
    mcp: { demo: { type: 'remote', url: `${url}/mcp`, enabled: true } }
  }))
  await logInBy(command, 'mcp', 'auth', 'demo')
  assert.match(await run(command, 'mcp', 'list'), /demo.*connected/)
  const printed = await run(command, 'run', PROMPT)
  assert.match(printed, /The tool said .*5/, printed)
}

// Codex names a metadata document of chatgpt.com where documents are accepted; it works without a network here
const target = await targetOf(chosen, { CLIENT_METADATA_DOCUMENTS: 'off' })
const model = await startStandInModel()
const report = new Report(`Assistants at ${chosen}, ${target.url}`)
await report.attempt(`Codex CLI ${CODEX}`, () => codex(target.url, model.url))
await report.attempt(`opencode ${OPENCODE}`, () => opencode(target.url, model.url))
model.close()
await target.stop()
rmSync(home, { recursive: true })
report.end()
