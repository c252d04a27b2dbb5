import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { Policy } from '../../src/policy/policy.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { isObject } from '../../src/members.js'
import type { ServerContext } from '../../src/mcp/create-server.js'
import { host, type HostedService } from '../attacks/eras.js'
import { RawClient } from '../support/mcp-harness.js'
import { next, parseData, post, readEvents, type SseEvent } from '../support/raw-http.js'
import { PLUGS, type MakePlug } from './policy-server.js'

/*
 * What changes while a client listens: the rules, or the scopes of its token.
 */
const OPEN: PolicyRules = { roles: { all: { tools: ['*'], resources: ['*'], prompts: ['*'] } } }
const CLOSED: PolicyRules = { roles: { all: { tools: ['open'], resources: ['doc://open'], prompts: ['open'] } } }
const LISTS = ['tools', 'prompts', 'resources'].map(list => `notifications/${list}/list_changed`)
const URIS = ['doc://open', 'doc://secret']

type Events = AsyncGenerator<SseEvent, undefined>

/** The notifications up to the update of a resource, which ends them. */
async function heard (events: Events, last: string): Promise<unknown[]> {
  const all: unknown[] = []
  for (;;) {
    const message = parseData(await next(events))
    if (!isObject(message) || typeof message.method !== 'string') continue
    const uri = isObject(message.params) ? message.params.uri : undefined
    if (message.method === 'notifications/subscriptions/acknowledged') continue
    all.push(uri === undefined ? message.method : uri)
    if (uri === last) return all
  }
}

interface Client {
  events: Events
  /** Makes a request by another token. */
  call (token: string): Promise<void>
}

interface Listening {
  service: HostedService
  leave: AbortSignal
}

async function session ({ service, leave }: Listening): Promise<Client> {
  const client = await new RawClient(service, 'ann_mcp').connect()
  for (const uri of URIS) await (await client.request('resources/subscribe', { uri })).text()
  return {
    events: readEvents(await client.get({}, leave)),
    call: async token => { await (await client.at(service, token).request('tools/list')).text() }
  }
}

async function listener ({ service: { url }, leave }: Listening): Promise<Client> {
  const notifications = {
    toolsListChanged: true,
    promptsListChanged: true,
    resourcesListChanged: true,
    resourceSubscriptions: URIS
  }
  const stream = await post(url, 'subscriptions/listen', { notifications }, { token: 'ann_mcp', signal: leave })
  const events = readEvents(stream)
  await next(events)
  return {
    events,
    call: async token => { await (await post(url, 'tools/list', {}, { token })).text() }
  }
}

const CLIENTS: Readonly<Record<string, (listening: Listening) => Promise<Client>>> = {
  'a session': session,
  'a listener of 2026-07-28': listener
}

async function changes (t: Test, connect: (listening: Listening) => Promise<Client>, makePlug: MakePlug) {
  const policy = new Policy(OPEN)
  let announce: ServerContext['announce'] = () => {}
  const service = await host(t, {
    createServer: context => {
      announce = context.announce
      return makePlug(() => {})
    },
    stores: createMemoryStores({ sessionIdleSeconds: 60 }),
    policy
  })
  const leave = new AbortController()
  t.teardown(() => { leave.abort() })
  const { events, call } = await connect({ service, leave: leave.signal })
  await call('ann_mcp')
  const update = (uri: string) => { announce({ kind: 'resource_updated', uri }) }

  for (const uri of ['doc://secret', 'doc://open']) update(uri)
  t.strictSame(await heard(events, 'doc://open'), ['doc://secret', 'doc://open'], 'updates of both')

  await call('ann_mcp.more')
  update('doc://open')
  t.strictSame(await heard(events, 'doc://open'), [...LISTS, 'doc://open'], 'a step-up: each list once')

  await call('ann_mcp.more')
  update('doc://open')
  t.strictSame(await heard(events, 'doc://open'), ['doc://open'], 'the same token: nothing')

  policy.replace(CLOSED)
  for (const uri of ['doc://secret', 'doc://open']) update(uri)
  t.strictSame(
    await heard(events, 'doc://open'),
    [...LISTS, 'doc://open'],
    'new rules: each list once; what is hidden is not updated'
  )

  await call('ann_mcp.more')
  update('doc://open')
  t.strictSame(await heard(events, 'doc://open'), ['doc://open'], 'a call after them: nothing more')
}

for (const [client, connect] of Object.entries(CLIENTS)) {
  for (const [line, makePlug] of Object.entries(PLUGS)) {
    t.test(`${client}, ${line}`, async t => { await changes(t, connect, makePlug) })
  }
}
