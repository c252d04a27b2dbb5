import { lstat, mkdir, symlink } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import { fillTemplate, parseTemplate } from '../../src/hosted/stdio/options/templates.js'
import { personKey } from '../../src/caller.js'
import { initializeParams, RawClient } from '../support/mcp-harness.js'
import { callForJson, hostPlain, readResponse } from './stdio.js'

/*
 * What a login says, as arguments, environment and folder of a program.
 */
const extra = { issuer: 'https://login.example', subject: 'alice' }
const personId = createHash('sha256').update(personKey(extra)).digest('hex').slice(0, 32)

const fill = async (option: string, text: string, claim: unknown) =>
  await fillTemplate(parseTemplate(option, text), {
    caller: { token: '', clientId: '', scopes: [], extra: { ...extra, claims: { claim } } },
    getUpstreamAccessToken: async () => undefined
  })

const taken: Record<string, string> = {
  'a shell command': '$(touch /tmp/x) `id` ; rm -rf / | cat && true',
  quotes: '"\'\\',
  'a newline': 'one\ntwo\r\nthree',
  'a template': '${subject} ${upstreamAccessToken}',
  'a path': '../../etc/passwd'
}
for (const [what, value] of Object.entries(taken)) {
  t.test(`${what} is a text like any other`, async t => {
    t.equal(await fill('args[0]', '${claims.claim}', value), value)
    t.equal(await fill('env.A', 'a${claims.claim}b', value), `a${value}b`)
  })
}

const refused: Record<string, [option: string, text: string, value: unknown, message: RegExp]> = {
  'a leading dash': ['args[0]', '${claims.claim}', '--help', /begins with a dash/],
  'NUL in an argument': ['args[0]', 'a${claims.claim}', 'a\0b', /has a NUL character/],
  'NUL in the environment': ['env.A', '${claims.claim}', '\0', /has a NUL character/],
  'a very long value': ['env.A', '${claims.claim}', 'x'.repeat(16_385), /is too long/],
  'an empty value': ['env.A', '${claims.claim}', '', /is not known/],
  'a value that is not text': ['env.A', '${claims.claim}', { toString: 1 }, /is not known/]
}
for (const [what, [option, text, value, message]] of Object.entries(refused)) {
  t.test(`${what} is refused`, async t => {
    await t.rejects(fill(option, text, value), { message })
  })
}
t.test('a dash is refused in arguments alone', async t => {
  t.equal(await fill('env.A', '${claims.claim}', '-x'), '-x')
  t.equal(await fill('args[0]', '--name=${claims.claim}', '-x'), '--name=-x')
})

async function tryToBegin (t: Test, options: Partial<StdioServerOptions>) {
  const service = await hostPlain(t, options)
  const response = await new RawClient(service).request('initialize', initializeParams())
  return { service, status: response.status, response: await readResponse(response) }
}

t.test('more arguments than the system takes: an error', async t => {
  const { status, response } = await tryToBegin(t, { args: ['x'.repeat(3_000_000)] })
  t.equal(status, 502)
  t.match(response, { error: { message: /could not be started/ } })
})

t.test('the folder of a person is nobody else’s to read', async t => {
  const data = t.testdir()
  const service = await hostPlain(t, { cwd: join(data, '${personId}', 'work') })
  const client = await new RawClient(service).connect()
  t.match(await callForJson(client, 'env'), { cwd: join(data, personId, 'work') })
  for (const part of [[personId], [personId, 'work']]) {
    t.equal((await lstat(join(data, ...part))).mode & 0o777, 0o700)
  }
})

for (const at of ['${personId}', '${personId}/work']) {
  t.test(`a link in the place of ${at} is not followed, and where it leads to is not told`, async t => {
    const data = t.testdir({ other: { work: {} } })
    const link = join(data, at.replace('${personId}', personId))
    if (at.includes('/')) await mkdir(join(data, personId))
    await symlink(join(data, 'other'), link)
    const { status, response } = await tryToBegin(t, { cwd: join(data, '${personId}', 'work') })
    t.equal(status, 502)
    t.match(response, { error: { message: 'The hosted server could not be started.' } })
    t.notMatch(JSON.stringify(response), data)
  })
}
