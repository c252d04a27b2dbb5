import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { run as runDoctor } from '../../src/cli/doctor.js'
import { connect1, eraClients, textOf } from '../eras/era-clients.js'
import { objectOf, parseObject } from '../support/json.js'
import { openPersonsBrowser, Person } from '../support/person.js'
import { NAMES, startThree, type Name, type Servers } from './three-servers.js'

/** A browser, and how often it was asked for a password. */
function watchedBrowser () {
  const asked = { passwords: 0, consents: 0 }
  const browser = openPersonsBrowser(async (target, init) => {
    const response = await fetch(target, init)
    const html = await response.clone().text()
    if (html.includes('name="login"')) asked.passwords++
    if (html.includes('Allow access')) asked.consents++
    return response
  })
  return { browser, asked }
}

/** Logs in for one server, the way its client does. @returns the login, or why there is none */
async function logInFor (servers: Servers, name: Name, person: Person, isSdk1: boolean): Promise<string | undefined> {
  const url = new URL(`${servers.at(name)}/mcp`)
  const transport = isSdk1
    ? new StreamableHTTPClientTransport(url, { authProvider: person })
    : new StreamableHTTPClientTransport2(url, { authProvider: person })
  await transport.start()
  await transport.send({ jsonrpc: '2.0', id: 1, method: 'ping' }).catch(() => {})
  const answer = await person.logIn()
  const code = answer.get('code')
  if (code === null) return answer.get('error') ?? 'nothing'
  if (transport instanceof StreamableHTTPClientTransport) await transport.finishAuth(code)
  else await transport.finishAuth(answer)
  return undefined
}

for (const [client, { connect }] of Object.entries(eraClients)) {
  t.test(`${client}: three servers, one password`, async t => {
    const servers = await startThree(t)
    const { browser, asked } = watchedBrowser()
    const persons = new Map<Name, Person>()
    for (const name of NAMES) {
      const person = new Person('alice', {}, browser)
      t.equal(await logInFor(servers, name, person, client.startsWith('SDK 1.x')), undefined, `${name}: logs in`)
      persons.set(name, person)
      const connected = await connect(servers.at(name), { authProvider: person })
      t.teardown(() => connected.close())
      t.equal(textOf(await connected.call('hello')), `${name} says hello`)
      t.same(await connected.toolNames(), name === 'files' ? ['hello'] : ['hello', 'secret'], 'by its own policy')
      t.equal(person.authorizationUrl?.searchParams.get('resource'), `${servers.at(name)}/mcp`)
      t.equal(person.authorizationUrl?.searchParams.get('scope')?.split(' ')[0], name)
    }
    t.same(asked, { passwords: 1, consents: 3 }, 'one password, and consent to each')
    for (const [own, person] of persons) {
      for (const other of NAMES) await checkToken(t, servers, person.accessToken, other, own === other)
    }
  })
}

/** Whether every endpoint of a server takes a token; if not, by its own challenge. */
async function checkToken (t: Test, servers: Servers, token: string, name: Name, isGood: boolean): Promise<void> {
  const authorization = `Bearer ${token}`
  const headers = { authorization, accept: 'application/json, text/event-stream', 'content-type': 'application/json' }
  const modern = { 'mcp-protocol-version': '2026-07-28' }
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' })
  const session = { 'mcp-session-id': 'nobody' }
  const requests: Array<[string, string, RequestInit, number]> = [
    ['POST', '/mcp', { body, headers }, 400],
    ['POST', '/mcp', { body, headers: { ...headers, ...modern } }, 400],
    ['GET', '/mcp', { headers: { ...headers, ...session } }, 404],
    ['DELETE', '/mcp', { headers: { authorization, ...session } }, 404],
    ['GET', '/sse', { headers: { authorization, accept: 'application/json' } }, 406],
    ['POST', '/messages?sessionId=nobody', { body, headers }, 404]
  ]
  for (const [method, path, init, status] of requests) {
    const response = await fetch(servers.at(name) + path, { ...init, method })
    await response.body?.cancel()
    t.equal(response.status, isGood ? status : 401, `${method} ${path} of ${name}`)
    if (isGood) continue
    const resource = new URL(servers.at(name)).pathname + (path === '/mcp' ? '/mcp' : '/sse')
    const says = [
      'Bearer error="invalid_token"',
      'error_description="The access token is for another resource."',
      `resource_metadata="${servers.url}/.well-known/oauth-protected-resource${resource}"`,
      `scope="${name}"`
    ]
    t.equal(response.headers.get('www-authenticate'), says.join(', '))
  }
}

t.test('who may use one server may be refused at another', async t => {
  const servers = await startThree(t)
  const { browser, asked } = watchedBrowser()
  t.equal(await logInFor(servers, 'files', new Person('bob', {}, browser), true), undefined)
  await t.rejects(
    logInFor(servers, 'notes', new Person('bob', {}, browser), true),
    { message: /This account cannot be used|may not use/ }
  )
  t.equal(asked.passwords, 1)
})

t.test('what operators find names the server', async t => {
  const log: string[] = []
  const folder = await mkdtemp(join(tmpdir(), 'several-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const audit = join(folder, 'audit.jsonl')
  const servers = await startThree(t, { AUDIT_LOG: `file:${audit}`, LOG_LEVEL: 'info' }, {
    logStream: { write: line => { log.push(line) } }
  })
  const person = new Person('alice')
  await logInFor(servers, 'files', person, true)
  const client = await connect1(servers.at('files'), { authProvider: person })
  t.equal(textOf(await client.call('hello')), 'files says hello')
  await fetch(`${servers.at('notes')}/mcp`, { method: 'POST' })
  await client.close()

  t.match(await (await fetch(`${servers.url}/metrics`)).text(), /mcp_request_duration_seconds_count\{.*server="files"/)
  const lines = log.map(line => parseObject(line)).filter(({ msg }) => msg === 'request')
  t.match(lines.find(({ route }) => route === '/files/mcp'), { server: 'files' })
  t.match(lines.find(({ route }) => route === '/notes/mcp'), { server: 'notes', statusCode: 401 })
  t.match(lines.find(({ route }) => route === '/token'), { server: undefined })

  const printed: string[] = []
  const env = { SERVERS_FILE: servers.file, PUBLIC_URL: servers.url }
  t.equal(await runDoctor(['--stream-seconds', '1'], { env, write: text => { printed.push(text) } }), 0)
  for (const name of NAMES) t.match(printed.join(''), `\n${servers.at(name)}/mcp\n`)
  t.match(printed.join(''), /0 broken/)

  await servers.app.close()
  const events = (await readFile(audit, 'utf8')).trim().split('\n').map(line => parseObject(line))
  const find = (action: string) => events.find(({ event }) => objectOf(event).action === action)
  t.match(find('call'), { mcp: { server: { name: 'files' } } })
  t.match(find('grant-created'), { oauth: { resource: `${servers.at('files')}/mcp`, scopes: ['files'] } })
  t.match(events.filter(({ event }) => objectOf(event).action === 'request-refused').map(({ mcp }) => mcp), [
    // the first request of the client, and that without any
    { server: { name: 'files' } },
    { server: { name: 'notes' } }
  ])
})

t.test('what clients and people find', async t => {
  const servers = await startThree(t, { PUBLIC_TOOLS: 'true' })
  const json = async (path: string): Promise<Record<string, unknown>> => {
    const response = await fetch(servers.url + path)
    return { status: response.status, ...objectOf(await response.json().catch(() => ({}))) }
  }
  for (const [name, path, scopes] of [
    ['My notes', '/notes', ['notes']],
    ['files', '/files', ['files', 'files:write']],
    ['maths', '/tools/maths', ['maths']]
  ] as const) {
    for (const endpoint of ['/mcp', '/sse']) {
      for (const place of [
        `/.well-known/oauth-protected-resource${path}${endpoint}`,
        `${path}${endpoint}/.well-known/oauth-protected-resource`
      ]) {
        t.match(await json(place), {
          status: 200,
          resource: servers.url + path + endpoint,
          scopes_supported: scopes,
          resource_name: name,
          authorization_servers: [servers.url]
        }, place)
      }
    }
    t.match(await json(`/.well-known/oauth-authorization-server${path}/mcp`), { status: 200, issuer: servers.url })
  }
  for (const place of ['', '/mcp', '/sse']) {
    t.match(await json(`/.well-known/oauth-protected-resource${place}`), { status: 404 }, 'the service is none of them')
  }
  t.match(await json('/.well-known/oauth-authorization-server'), {
    issuer: servers.url,
    scopes_supported: ['notes', 'files', 'files:write', 'maths', 'offline_access']
  })
  for (const [method, path] of [['POST', '/mcp'], ['GET', '/sse'], ['POST', '/'], ['GET', '/notes']] as const) {
    t.equal((await fetch(servers.url + path, { method })).status, path === '/' ? 405 : 404, `${method} ${path}`)
  }
  t.equal((await fetch(`${servers.url}/notes/mcp`, { method: 'PUT' })).status, 401, 'a token is asked for first')
  const page = await (await fetch(servers.url, { headers: { accept: 'text/html, text/event-stream' } })).text()
  for (const name of NAMES) t.match(page, `<code>${servers.at(name)}/mcp</code>`)
  t.match(page, '<h2>My notes</h2>')
  t.match(page, '<code>secret</code>')
  t.match(await json('/openapi.json'), { paths: { '/notes/mcp': {}, '/files/mcp': {}, '/tools/maths/mcp': {} } })
})
