import t from 'tap'
import { startService } from '../support/service.js'
import { accounts } from './accounts.js'
import { commands, type Command } from './commands.js'
import { inlineCode } from './pages.js'
import { missing } from './running.js'
import { exitCode } from './scripts.js'

const MAX_NAME = 100

t.test('every command of the docs is run, or what it names is checked', async t => {
  const service = await startService(t, {
    ADMIN_TOKEN: 'the-admin-token-of-the-docs',
    METRICS_TOKEN: 'the-metrics-token-of-the-docs'
  })
  // a command that is on two pages with the same output is run once
  const distinct = new Map(commands().map(command => [JSON.stringify([command.text, command.shown]), command]))
  t.ok(distinct.size > 20, 'finds the commands')
  for (const command of distinct.values()) {
    const [, account] = accounts.find(([begins]) => begins.test(command.text)) ?? []
    // the name is also that of the folder of its fixtures
    await t.test(`${command.where}: ${command.text.slice(0, MAX_NAME)}`, { skip: needs(command) }, async t => {
      if (account === undefined) {
        throw new Error(`Nothing checks ${command.text}. Add it to test/docs/accounts.ts.`)
      }
      await account(t, command, service)
    })
  }
})

t.test('the doctor accepts the options that its page names', async t => {
  const named = inlineCode().filter(({ page, text }) => page === 'docs/doctor.md' && text.startsWith('--'))
  t.ok(named.length > 1, 'finds them')
  t.equal(
    await exitCode('src/cli.ts', ['doctor', ...named.flatMap(({ text }) => text.split(' ')), '--help']),
    0,
    named.map(({ text }) => text).join(' ')
  )
})

t.test('a script explains its arguments, and refuses others', async t => {
  t.equal(await exitCode('bench/soak.ts', ['--minutes', '1', '--help']), 0)
  t.equal(await exitCode('bench/soak.ts', ['--hours', '1', '--help']), 2)
})

function needs ({ text }: Command): string | false {
  const program = ['curl', 'openssl'].find(program => text.startsWith(`${program} `))
  return program === undefined ? false : missing(program)
}
