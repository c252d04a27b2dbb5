import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import t from 'tap'
import { emitted } from '../support/emitted.js'
import { freePort } from '../support/free-port.js'
import { copyClone } from './clone.js'
import { makeFolder } from './project.js'

// nor does production load the demo login
t.test('a clone without development and optional dependencies starts', { timeout: 120_000 }, async t => {
  const folder = makeFolder(t)
  copyClone(folder, { packages: 'production' })
  const port = await freePort()
  const npm = spawn('npm', ['start'], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      npm_config_update_notifier: 'false',
      NODE_ENV: 'production',
      PORT: String(port),
      PUBLIC_URL: 'https://mcp.example.com',
      ALLOWED_HOSTS: '*',
      OAUTH_ISSUER_URL: `http://localhost:${await freePort()}`,
      SHUTDOWN_DELAY_SECONDS: '0'
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => npm.kill('SIGKILL'))
  const exited = emitted(npm, 'close')
  const output: string[] = []
  const listening = new Promise<void>((resolve, reject) => {
    createInterface({ input: npm.stdout }).on('line', line => {
      output.push(line)
      if (line.includes('Server listening')) resolve()
    })
    createInterface({ input: npm.stderr }).on('line', line => { output.push(line) })
    exited.then(() => { reject(new Error(output.join('\n'))) }, reject)
  })
  await listening
  t.equal((await fetch(`http://localhost:${port}/mcp`, { method: 'POST' })).status, 401)
  npm.kill('SIGTERM')
  await exited
})
