import t, { type Test } from 'tap'
import { getMember } from '../../src/members.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { NO_TOKEN, WAYS, type Asked, type Told, type Way } from '../attacks/eras.js'
import { hostPlug, PLUGS, type MakePlug } from './policy-server.js'

/*
 * Public and protected things on one URL. To the one who has no token, `open` is public, `staff` takes a login, and
 * `secret` is nobody's: it is as what does not exist.
 */
const rules: PolicyRules = {
  roles: { staff: { tools: ['open', 'staff', 'scoped'], resources: ['doc://staff'], prompts: ['staff'] } },
  scopes: { 'notes:write': { tools: ['scoped'] } },
  public: { tools: ['open'], resources: ['doc://open', 'open://{id}'], prompts: ['open'] }
}

const call = (name: string): Asked => ({ method: 'tools/call', params: { name, arguments: {} } })
const read = (name: string): Asked => ({ method: 'resources/read', params: { uri: `doc://${name}` } })
const get = (name: string): Asked => ({ method: 'prompts/get', params: { name, arguments: {} } })
const complete = (name: string): Asked => ({
  method: 'completion/complete',
  params: { ref: { type: 'ref/prompt', name }, argument: { name: 'argument', value: '' } }
})
const subscribe = (name: string): Asked => ({ method: 'resources/subscribe', params: { uri: `doc://${name}` } })
const CALLS = { tool: call, resource: read, prompt: get, completion: complete }

const CHALLENGE = (url: string, path = '/mcp', scope = 'mcp') =>
  `Bearer resource_metadata="${url}/.well-known/oauth-protected-resource${path}", scope="${scope}"`

function schemesOf ({ responses: [response] }: Told): unknown {
  const tools: unknown = response?.result?.tools
  return Array.isArray(tools)
    ? tools.map(tool => [getMember(tool, 'name'), getMember(tool, 'securitySchemes'),
      getMember(getMember(tool, '_meta'), 'securitySchemes')])
    : undefined
}

async function mixed (t: Test, name: string, way: Way, makePlug: MakePlug): Promise<void> {
  const { service, ran } = await hostPlug(t, way, makePlug, rules)
  const nobody = await way.connect(t, service, NO_TOKEN)
  const [noauth, oauth] = [{ type: 'noauth' }, { type: 'oauth2', scopes: ['mcp'] }]
  t.strictSame(
    schemesOf(await nobody.ask(NO_TOKEN, [{ method: 'tools/list' }])),
    [['open', [noauth, oauth], [noauth, oauth]], ['staff', [oauth], [oauth]]],
    'nobody sees what is public, and what a login gives, and what each takes'
  )
  const path = name.includes('SSE') ? '/sse' : '/mcp'
  for (const [kind, ask] of Object.entries(CALLS)) {
    const open = await nobody.ask(NO_TOKEN, [ask('open')])
    t.ok(open.responses[0]?.result, `${kind}: what is public can be used`)
    const before = ran.length
    const staff = await nobody.ask(NO_TOKEN, [ask('staff')])
    t.strictSame(
      [staff.status, staff.challenge, ran.length - before],
      [401, CHALLENGE(service.url, path), 0],
      `${kind}: what is not takes a login`
    )
    const secret = await nobody.ask(NO_TOKEN, [ask('secret')])
    t.match([secret.status, ran.length - before], [/200|202|400|404/, 0], `${kind}: what nobody may use is unknown`)
    t.notOk(secret.responses[0]?.result, `${kind}: and has no result`)
  }
  if (way.sessionMode === 'stateful' && !name.startsWith('2026')) {
    t.ok((await nobody.ask(NO_TOKEN, [subscribe('open')])).responses[0]?.result, 'may subscribe to what is public')
    t.equal((await nobody.ask(NO_TOKEN, [subscribe('staff')])).status, 401, 'not to what is not')
  }
  t.equal((await nobody.ask(NO_TOKEN, [{ method: 'custom/method' }])).status, 401, 'what is not known is not public')
  if (way.takesBatches) {
    const before = ran.length
    const { status } = await nobody.ask(NO_TOKEN, [call('open'), call('staff')], true)
    t.strictSame([status, ran.length - before], [401, 0], 'a batch with one protected call runs none')
  }
  const somebody = await way.connect(t, service, 'somebody_mcp')
  t.ok((await somebody.ask('somebody_mcp', [call('staff')])).responses[0]?.result, 'a login gives what it promises')
  t.equal((await somebody.ask('_', [call('open')])).status, 401, 'a bad token is not nobody')
}

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, makePlug] of Object.entries(PLUGS)) {
    t.test(`${name}, ${line}`, async t => { await mixed(t, name, way, makePlug) })
  }
}
