import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { parseObject, textAt } from '../support/json.js'
import { root } from '../support/root.js'

// npm runs a script by a shell, and a shell that waits does not pass on what it is sent
t.test('ending npm start ends the service', async t => {
  const start = textAt(parseObject(readFileSync(resolve(root, 'package.json'), 'utf8')), 'scripts', 'start')
  const directory = t.testdir()
  for (const folder of ['dist', 'scripts']) mkdirSync(join(directory, folder))
  writeFileSync(join(directory, 'scripts/build.js'), '')
  writeFileSync(
    join(directory, 'package.json'),
    JSON.stringify({ name: 'x', version: '1.0.0', type: 'module', scripts: { start } })
  )
  writeFileSync(
    join(directory, 'dist/cli.js'),
    `
    process.on('SIGTERM', () => { console.log('closing'); process.exit(0) })
    setInterval(() => {}, 1000)
    console.log('pid ' + process.pid)
  `)
  const { PATH, HOME } = process.env
  const npm = spawn('npm', ['start'], {
    cwd: directory,
    env: { PATH, HOME },
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => {
    try {
      process.kill(-(npm.pid ?? 0), 'SIGKILL')
    } catch {}
  })
  const lines: string[] = []
  const printed = createInterface({ input: npm.stdout })
  const exited = once(npm, 'exit')
  for await (const line of printed) {
    lines.push(line)
    if (line.startsWith('pid ')) npm.kill('SIGTERM')
  }
  await exited
  t.ok(lines.includes('closing'), 'the service was told')
  const pid = Number(lines.find(line => line.startsWith('pid '))?.slice(4))
  t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, 'and is gone')
})
