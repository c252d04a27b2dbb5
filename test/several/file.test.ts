import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readServersFile } from '../../src/config/servers/servers-file.js'
import { loadConfig } from '../../src/config/config.js'
import { ConfiguredPolicies } from '../../src/config/configured-policies.js'

function read (t: Test, text: string, variables: NodeJS.ProcessEnv = {}) {
  const folder = t.testdir({ 'servers.json': text })
  return { folder, servers: readServersFile(join(folder, 'servers.json'), ['mcp'], variables) }
}

t.test('what clients have in their files', async t => {
  const { folder, servers } = read(t, `
{ # a comment
  "globalShortcut": "",
  "mcpServers": {
    "every.thing-1": { "command": "npx", "args": ["-y", "\${PACKAGE}", "\${claims.email}", "\${personId}"],
                       "env": { "A": "\${env:SECRET}" },
                       "cwd": "./data", "alwaysAllow": ["echo"], "timeout": 3, "share": true },
    "docs": { "type": "http", "url": "http://localhost:8000/sse?k=\${KEY:-none}", "headers": { "x": "\${SECRET}" },
              "auth": { "tokenExchange": {
                "tokenEndpoint": "https://a/t", "clientId": "c", "clientSecret": "\${SECRET}" } } },
    "old": { "type": "sse", "url": "http://localhost:8000/events" },
    "own": { "module": "\${NAME}.js", "title": "Our own", "path": "/team/own", "scopes": ["a", "b"],
             "policy": { "login": { "groups": ["staff"] } } },
    "off": { "disabled": true, "command": "never" },
  }
}`, { PACKAGE: 'some-server', SECRET: 's3cret', NAME: 'server' })
  const shared = { scopes: ['mcp'], policy: undefined }
  t.match(servers, [
    {
      ...shared,
      name: 'every.thing-1',
      path: '/every.thing-1',
      title: 'every.thing-1',
      source: {
        kind: 'stdio',
        command: 'npx',
        // eslint-disable-next-line no-template-curly-in-string -- a template of the hosted server
        args: ['-y', 'some-server', '${claims.email}', '${personId}'],
        env: { A: 's3cret' },
        cwd: join(folder, 'data'),
        per: 'shared'
      }
    },
    {
      ...shared,
      name: 'docs',
      source: {
        kind: 'remote',
        transport: 'auto',
        url: new URL('http://localhost:8000/sse?k=none'),
        headers: { x: 's3cret' },
        auth: { tokenExchange: { clientId: 'c', clientSecret: 's3cret' } }
      }
    },
    { ...shared, name: 'old', source: { kind: 'remote', transport: 'sse' } },
    {
      name: 'own',
      title: 'Our own',
      path: '/team/own',
      scopes: ['a', 'b'],
      policy: { rules: { login: { groups: ['staff'] } } },
      source: { kind: 'module', file: join(folder, 'server.js') }
    }
  ])
  t.equal(servers.length, 4)
  t.match(read(t, '{ "servers": { "a": { "module": "a.js" } } }').servers, [{ name: 'a' }], 'as VS Code has it')
  t.match(read(t, 'mcpServers:\n  a: { module: a.js }\n').servers, [{ name: 'a' }], 'or YAML')
})

const one = (members: string) => `{\n  "mcpServers": {\n    "a": {\n      ${members} } } }`
const WRONG: ReadonlyArray<[text: string, place: string, says: RegExp]> = [
  ['{', '1:2', /./],
  ['{ "mcpServers": { "a": { "module": "a.js" } // no\n } }', '1:', /./],
  ['', ' ', /the file is empty; it takes an object with mcpServers/],
  ['[]', '1:1', /the file is .*; it takes an object with mcpServers/],
  ['{}', '1:1', /the file has no servers/],
  ['{ "mcpServers": {} }', '1:3', /mcpServers is .*; it takes an object with one or more servers/],
  [one('"module": "a.js", "polcy": {}'), '4:25', /polcy is not known/],
  [one('"title": "A"'), '3:5', /a lacks a server; it takes one of command, url, module/],
  [one('"module": "a.js", "url": "http://a"'), '3:5', /a has url and module/],
  [one('"module": "a.js", "type": "stdio"'), '4:25', /a has the type stdio, but module/],
  [one('"command": 1'), '4:7', /command is 1; it takes a program/],
  [one('"command": "a", "args": "b"'), '4:23', /args is "b"; it takes a list of texts/],
  [one('"url": "localhost:8000"'), '4:7', /a\.url is not valid; it takes the URL of an MCP endpoint/],
  // eslint-disable-next-line no-template-curly-in-string -- of the file
  [one('"url": "http://${HOST}"'), '4:7', /a\.url has \$\{HOST\}, but the variable HOST is not set/],
  // eslint-disable-next-line no-template-curly-in-string -- of the file
  [one('"command": "a", "env": { "K": "${input:key}" }'), '4:32', /a\.env\.K has \$\{input:key\}, which a client would/],
  [one('"module": "a.js", "path": "a"'), '4:25', /a has the path "a"; it takes one such as \/a/],
  [one('"module": "a.js", "path": "/oauth/a"'), '4:25', /but \/oauth belongs to this service/],
  [one('"module": "a.js", "path": "/.well-known"'), '4:25', /a has the path "\/\.well-known"/],
  [one('"module": "a.js", "scopes": []'), '4:25', /scopes is .*; it takes a list of one or more scopes/],
  [one('"module": "a.js", "scopes": ["a b"]'), '4:36', /scopes\[0\] is "a b"/],
  [one('"module": "a.js", "policy": { "logn": {} }'), '4:37', /policy\.logn is not known/],
  [one('"module": "a.js", "scopes": ["s"], "policy": { "scopes": { "t": { "tools": ["x"] } } }'), '4:66', /"t"/],
  ['{ "mcpServers": { "token": { "module": "a.js" } } }', '1:19', /token has the path \/token, but \/token belongs to/],
  ['{ "mcpServers": { "a b": { "module": "a.js" } } }', '1:19', /a b has a name that is not allowed/],
  ['{ "mcpServers": { "../x": { "module": "a.js" } } }', '1:19', /has a name that is not allowed/],
  ['{ "mcpServers": { "a": { "disabled": true, "module": "a.js" } } }', '1:3', /every server is disabled/],
  [
    '{ "mcpServers": { "a": { "module": "a.js" }, "b": { "module": "b.js", "path": "/a/mcp" } } }',
    '1:71',
    /b has the path \/a\/mcp, which is taken by a/
  ],
  ['{ "mcpServers": { "a": { "module": "a.js" }, "b": { "module": "b.js", "path": "/a" } } }', '1:', /is taken by/]
]

t.test('what is wrong is said in a line, with its place', async t => {
  for (const [text, place, says] of WRONG) {
    let message = ''
    try {
      read(t, text)
    } catch (error) {
      message = error instanceof Error ? error.message.replaceAll(/\/\S*\/(?=servers\.json)/g, '') : ''
    }
    t.ok(message.startsWith(`servers.json:${place}`), `${text}: ${message}`)
    t.match(message, says)
    t.notMatch(message, '\n')
  }
  t.throws(() => readServersFile('/nowhere.json', ['mcp'], {}), { message: /SERVERS_FILE cannot be read \(ENOENT\)/ })
})

t.test('the environment says who may come to any of them', async t => {
  const folder = t.testdir({
    'servers.json': `{ "mcpServers": {
      "open": { "module": "a.js" },
      "own": { "module": "a.js", "policy": { "login": { "groups": ["staff"] } } },
      "file": { "module": "a.js", "policy": "own.yaml" } } }`,
    'own.yaml': 'login: { groups: [admins] }',
    'policy.yaml': 'login: { groups: [everybody] }'
  })
  const config = loadConfig({
    SERVERS_FILE: join(folder, 'servers.json'),
    POLICY_FILE: join(folder, 'policy.yaml'),
    ALLOWED_EMAIL_DOMAINS: 'example.com'
  }, { dotenv: false })
  const policies = new ConfiguredPolicies(config)
  const domain = { emailDomains: ['example.com'] }
  t.match(policies.find('open')?.rules.login, [domain, { groups: ['everybody'] }])
  t.match(policies.find('own')?.rules.login, [domain, { groups: ['staff'] }])
  t.match(policies.find('file')?.rules.login, [domain, { groups: ['admins'] }])
  t.ok(policies.hasFiles)
  policies.close()
})
