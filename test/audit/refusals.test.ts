import { once, EventEmitter } from 'node:events'
import t from 'tap'
import { Ajv } from 'ajv'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { AuditEventSchema, type AuditEvent } from '../../src/audit/event.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { host, newEncryptionKeys, NO_TOKEN, WAYS, type Asked, type HostedOptions } from '../attacks/eras.js'

/*
 * Each call that is refused is one event, in every era and mode, alone or in a batch, whatever refuses it: who, which
 * tool, where, and why.
 */
const createServer = () => {
  const server = new McpServer({ name: 'refusing', version: '1' })
  for (const name of ['open', 'closed']) server.registerTool(name, {}, () => ({ content: [] }))
  return server
}

interface Refusal {
  rules: PolicyRules
  /** Default: somebody has logged in. */
  token?: string
  /** Whether a batch is refused as a whole. */
  isWhole: boolean
  reason: string
  code: string
  /** How the client learns of it. */
  authChallenge?: 'tool-result'
}

const hidden = { roles: { all: { tools: ['*', '!closed'] } } }
const mixed: PolicyRules = { roles: { all: { tools: ['*'] } }, public: { tools: ['open'] } }
const KINDS: Readonly<Record<string, Refusal>> = {
  limit: {
    rules: { limits: { tools: { closed: { callsPerDay: 0 } } } },
    isWhole: true,
    reason: 'too_many_requests',
    code: 'too_many_requests'
  },
  scope: {
    rules: { scopes: { admin: { tools: ['closed'] } } },
    isWhole: true,
    reason: 'insufficient_scope',
    code: 'insufficient_scope'
  },
  'scope, as a result': {
    rules: { scopes: { admin: { tools: ['closed'] } } },
    isWhole: true,
    reason: 'insufficient_scope',
    code: 'insufficient_scope',
    authChallenge: 'tool-result'
  },
  login: { rules: mixed, token: NO_TOKEN, isWhole: true, reason: 'invalid_token', code: 'invalid_token' },
  'login, as a result': {
    rules: mixed,
    token: NO_TOKEN,
    isWhole: true,
    reason: 'invalid_token',
    code: 'invalid_token',
    authChallenge: 'tool-result'
  },
  'policy, as unknown': { rules: hidden, isWhole: false, reason: 'denied_by_policy', code: 'forbidden_call' },
  'policy, as forbidden': {
    rules: { ...hidden, refusal: 'forbidden' },
    isWhole: false,
    reason: 'denied_by_policy',
    code: 'forbidden_call'
  }
}
const validate = new Ajv({ allErrors: true, formats: { 'date-time': true } }).compile(AuditEventSchema)
const call = (name: string): Asked => ({ method: 'tools/call', params: { name, arguments: { hidden: 'argument' } } })
const toolOf = ({ gen_ai: target }: AuditEvent) => target?.tool?.name
const actionsOf = (events: readonly AuditEvent[]) => events.map(event => [event.event.action, toolOf(event)])

for (const [name, way] of Object.entries(WAYS)) {
  for (const [kind, { rules, token = 'alice', isWhole, reason, code, authChallenge }] of Object.entries(KINDS)) {
    t.test(`${name}, ${kind}`, async t => {
      const { sessionMode, reuseInstances = false } = way
      let events: AuditEvent[] = []
      const recorded = new EventEmitter()
      const options: HostedOptions = {
        createServer,
        stores: createMemoryStores({ sessionIdleSeconds: 60 }),
        encryptionKeys: newEncryptionKeys(),
        sessionMode,
        reuseInstances,
        policy: rules,
        ...authChallenge !== undefined && { authChallenge },
        audit: {
          sink: event => {
            events.push(event)
            if (event.mcp?.method?.name === 'prompts/list') recorded.emit('last')
          }
        }
      }
      const [service, other] = [await host(t, options), await host(t, options)]
      const caller = await way.connect(t, service, token)
      /** @returns what was recorded of it */
      const recordedOf = async (asked: Asked[], isBatch: boolean, at = service): Promise<AuditEvent[]> => {
        events = []
        await caller.ask(token, asked, isBatch, at)
        const last = once(recorded, 'last')
        await caller.ask(token, [{ method: 'prompts/list' }])
        await last
        return events.filter(event => toolOf(event) !== undefined)
      }
      const expected = {
        event: { action: 'call-refused', outcome: 'failure', reason, category: ['api'], type: ['denied'] },
        error: { code },
        user: { id: token === NO_TOKEN ? String : 'alice' },
        client: { ip: '127.0.0.1' },
        http: { request: { id: String, body: { bytes: Number } } },
        mcp: {
          era: name.startsWith('2026') ? 'modern' : 'legacy',
          method: { name: 'tools/call' },
          ...!name.startsWith('2024') && { protocol: { version: name.slice(0, 10) } },
          ...sessionMode === 'stateful' && !name.startsWith('2026') && { session: { id: String } }
        }
      }

      const alone = await recordedOf([call('closed')], false)
      t.match(alone, [expected], 'alone')
      t.same(actionsOf(alone), [['call-refused', 'closed']])
      t.ok(alone.every(event => validate(event)), JSON.stringify(validate.errors))
      t.notMatch(JSON.stringify(alone), /argument"/, 'no arguments')
      // where an HTTP+SSE session runs, the HTTP request is not known that came elsewhere
      const { client: _, http: __, ...known } = expected
      const handed = name.startsWith('2024') && !isWhole ? known : expected
      t.match(await recordedOf([call('closed')], false, other), [handed], 'at another replica')

      if (!way.takesBatches) return
      const batch = await recordedOf([call('open'), call('closed')], true)
      t.same(
        actionsOf(batch).toSorted(),
        [[isWhole ? 'call-refused' : 'call', 'open'], ['call-refused', 'closed']].toSorted(),
        'in a batch'
      )
      for (const event of batch.filter(({ event }) => event.action === 'call-refused')) t.match(event, expected)
    })
  }
}
