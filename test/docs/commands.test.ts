import t from 'tap'
import { startService } from '../support/service.js'
import { accounts } from './accounts.js'
import { commands, type Command } from './commands.js'
import { inlineCode } from './pages.js'
import { missing } from './running.js'
import { exitCode } from './scripts.js'

t.test('every command of the docs does what they say', async t => {
  const service = await startService(t, {
    ADMIN_TOKEN: 'the-admin-token-of-the-docs',
    METRICS_TOKEN: 'the-metrics-token-of-the-docs'
  })
  // the same command on two pages is run once; what is shown of its output is held against it each time
  const distinct = new Map(commands().map(command => [JSON.stringify([command.text, command.shown]), command]))
  t.ok(distinct.size > 20, 'the commands are found')
  for (const command of distinct.values()) {
    const [, account] = accounts.find(([begins]) => begins.test(command.text)) ?? []
    await t.test(`${command.where}: ${command.text}`, { skip: needs(command) }, async t => {
      if (account === undefined) {
        throw new Error(`Nothing shows that ${command.text} works. Add it to test/docs/accounts.ts, with what runs it.`)
      }
      await account(t, command, service)
    })
  }
})

t.test('the doctor takes the options that its page names', async t => {
  const named = inlineCode().filter(({ page, text }) => page === 'docs/doctor.md' && text.startsWith('--'))
  t.ok(named.length > 1, 'they are found')
  t.equal(
    await exitCode('src/cli.ts', ['doctor', ...named.flatMap(({ text }) => text.split(' ')), '--help']),
    0,
    named.map(({ text }) => text).join(' ')
  )
})

t.test('a script says what it takes, and takes nothing else', async t => {
  t.equal(await exitCode('bench/soak.ts', ['--minutes', '1', '--help']), 0)
  t.equal(await exitCode('bench/soak.ts', ['--hours', '1', '--help']), 2)
})

function needs ({ text }: Command): string | false {
  const program = ['curl', 'openssl'].find(program => text.startsWith(`${program} `))
  return program === undefined ? false : missing(program)
}
