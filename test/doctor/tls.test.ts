import { execFile } from 'node:child_process'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { Browser, logIn } from '../support/browser.js'
import { makeCertificate, type Certificate } from '../support/certificate.js'
import { freePort } from '../support/free-port.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { newTokens, register } from '../support/oauth-flow.js'
import { root, runnable } from '../support/root.js'
import { startService } from '../support/service.js'
import { proxy } from './deployments.js'

const run = promisify(execFile)

/** The service behind TLS. Its own `fetch` goes around it. */
async function behindTls (t: Test, host: string, { key, cert }: Certificate) {
  const port = await freePort()
  const url = `https://${host}:${port}`
  // oidc-provider takes no https on loopback
  const upstream = await listeningUpstream(t, {})
  const service = await startService(t, { PUBLIC_URL: url, OAUTH_ISSUER_URL: upstream.issuer })
  const inside = `http://127.0.0.1:${service.config.port}`
  await proxy(t, { port, tls: { key, cert }, targets: [inside] })
  const around: typeof fetch = (input, init) => fetch(String(input).replace(url, inside), init)
  return { url, upstream, fetch: around }
}

const doctor = (url: string, { file }: Certificate, args: string[], env: NodeJS.ProcessEnv = {}) =>
  run(process.execPath, [...runnable('src/cli'), 'doctor', `${url}/mcp`, '--stream-seconds', '0.3', ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: file, ...env }
  })

t.test('a sound deployment over TLS', async t => {
  const certificate = await makeCertificate(t)
  t.jobs = 2
  await Promise.all([
    t.test('by its address, with a token', async t => {
      const service = await behindTls(t, '127.0.0.1', certificate)
      const { accessToken } = await newTokens(service, await register(service))
      const { stdout } = await doctor(service.url, certificate, [], { DOCTOR_TOKEN: accessToken })
      t.match(stdout, /✓ host: another Host than .* is refused[^]*✓ stream: first byte[^]*0 broken, 0 doubtful/)
    }),
    t.test('by its name, with a login', async t => {
      const service = await behindTls(t, 'localhost', certificate)
      const examined = doctor(service.url, certificate, ['--login'])
      const { stdout: printed } = examined.child
      if (printed === null) throw new Error('The doctor has no standard output.')
      for await (const line of createInterface(printed)) {
        if (line.startsWith('https://')) {
          await logIn(new Browser(undefined, service.fetch), line)
          break
        }
      }
      const { stdout } = await examined
      t.match(stdout, /✓ login: a login works[^]*✓ stream: first byte[^]*0 broken, 0 doubtful/)
    })
  ])
})
