import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import { mcpServiceParts } from '../../src/service/mcp-service.js'
import type { Admission } from '../../src/mcp/admission/admission.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { MCP_URL, ways, type GreedyClient, type Way } from './greedy-clients.js'
import { GreedyPlug } from './greedy-plug.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'

/*
 * Whatever clients do, and in whatever order: once nothing runs and nobody is there, nobody holds anything.
 */

const PEOPLE = ['alice', 'bob'] as const
const limits = {
  maxRequestsInFlightPerPerson: 6,
  maxInstancesPerPerson: 5,
  maxLiveInstances: 8,
  maxStreamsPerPerson: 3,
  maxStreams: 4,
  maxSubscriptionsPerPerson: 3,
  maxSuspendedCallsPerPerson: 2,
  maxOpenResponsesPerPerson: 12,
  toolCallsPerMinute: 20
}

/**
 * One thing that somebody does; what it starts may go on. `pick` chooses a client or a request among those there are.
 */
const action = fc.record({
  kind: fc.constantFrom(
    'connect',
    'wait',
    'quick',
    'batch',
    'flood',
    'ask',
    'listen',
    'subscribe',
    'leave',
    'end grant',
    'tidy',
    'stop hanging',
    'read on',
    'pause'
  ),
  person: fc.constantFrom(...PEOPLE),
  pick: fc.nat(100)
})
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never

/** People at one service. */
class World {
  readonly plug = new GreedyPlug()
  readonly #app = Fastify({ forceCloseConnections: true })
  readonly #stores = createMemoryStores({ sessionIdleSeconds: 60 })
  readonly #way: Way
  #origin = ''
  #clients: Array<{ person: string, client: GreedyClient, leave: AbortController }> = []

  constructor (way: Way) {
    this.#way = way
  }

  get admission (): Admission {
    return this.#way.sessionMode === 'stateless' ? this.#app.mcpSessionless.admission : this.#app[kSessions].admission
  }

  async start (): Promise<void> {
    const { sdk, sessionMode, reuseInstances } = this.#way
    await this.#app.register(mcpServiceParts, {
      publicUrl: MCP_URL,
      allowedHosts: ['*'],
      createServer: sdk === 1 ? this.plug.createServer1 : this.plug.createServer2,
      sessionMode,
      reuseInstances,
      stores: this.#stores,
      limits,
      drainSeconds: 0.01,
      auth: {
        mode: 'host',
        authorizationServers: ['https://login.example'],
        verifyAccessToken: async token => ({
          token,
          clientId: 'client',
          scopes: ['mcp'],
          extra: { issuer: 'https://login.example', subject: token, grantId: token }
        })
      }
    })
    this.#origin = await this.#app.listen({ port: 0, host: '127.0.0.1' })
  }

  async does ({ kind, person, pick }: Action): Promise<void> {
    if (kind === 'connect' || this.#clients.length === 0) await this.#connect(person)
    else if (kind === 'end grant') await this.#endGrant(person)
    else if (kind === 'tidy') this.#tidy(Date.now() + 31_000)
    else if (kind === 'stop hanging') this.plug.release()
    else await this.#asks(kind, pick)
    // what was started gets as far as it gets in a few turns
    for (let turns = 0; turns < pick % 7; turns++) await turn()
  }

  /** Everybody leaves, logins end, calls return. */
  async end (): Promise<void> {
    this.plug.release()
    for (const { leave } of this.#clients) leave.abort()
    await this.endGrants()
  }

  async endGrants (): Promise<void> {
    for (const person of PEOPLE) await this.#endGrant(person)
  }

  /** Ends sessions that nobody uses any longer. */
  forget (): void {
    this.#tidy(Date.now() + 7_200_000)
  }

  async close (): Promise<void> {
    await this.#app.close()
    await this.#stores.close()
  }

  async #connect (person: string): Promise<void> {
    const leave = new AbortController()
    const overNetwork: typeof fetch = async (input, init) =>
      await fetch(String(input).replace(MCP_URL, this.#origin), { ...init, signal: leave.signal })
    this.#clients.push({ person, client: await this.#way.connect(overNetwork, person), leave })
  }

  async #asks (kind: Action['kind'], pick: number): Promise<void> {
    const { client, leave } = this.#clients[pick % this.#clients.length] ?? {}
    if (client === undefined || leave === undefined) return
    if (kind === 'leave') {
      leave.abort()
      this.#clients = this.#clients.filter(other => other.leave !== leave)
      return
    }
    const asked = this.#ask(client, kind, pick)
    if (asked === undefined) return
    // who reads on hears the end; the others never read at all
    const heard = asked.then(async response => {
      if (kind !== 'flood' || pick % 2 === 0) await response.text()
    }).catch(() => {})
    if (kind === 'quick' || kind === 'subscribe') await heard
  }

  #ask (client: GreedyClient, kind: Action['kind'], pick: number): Promise<Response> | undefined {
    const { can } = this.#way
    switch (kind) {
      case 'wait':
        return client.call('wait')
      case 'quick':
        return client.call('quick')
      case 'batch':
        return can.has('batch') ? client.call('wait', 'quick', 'wait') : undefined
      case 'flood':
        return client.callWith('flood', { messages: 4, bytes: 600_000, awaits: pick % 3 === 0 })
      case 'ask':
        return can.has('suspend') ? client.call('ask') : undefined
      case 'listen':
        return can.has('listen') ? client.listen([`file:///${pick}`]) : undefined
      case 'subscribe':
        return can.has('subscribe') && !this.#way.name.startsWith('2026')
          ? client.subscribe([`file:///${pick % 5}`])
          : undefined
      default:
        return undefined
    }
  }

  async #endGrant (grantId: string): Promise<void> {
    await this.#stores.bus.publish('grantEnded', { grantId })
  }

  #tidy (now: number): void {
    if (this.#way.sessionMode === 'stateful') this.#app[kSessions].tidy(now)
  }
}

const isNothing = (held: Admission['held']) => Object.values(held).every(count => count === 0)

for (const way of ways) {
  t.test(`${way.name}: nothing is held once nobody is there`, async t => {
    await fc.assert(fc.asyncProperty(fc.array(action, { minLength: 3, maxLength: 25 }), async actions => {
      const world = new World(way)
      await world.start()
      try {
        for (const one of actions) await world.does(one)
        await world.end()
        const latest = Date.now() + 5000
        while (!isNothing(world.admission.held)) {
          if (Date.now() > latest) throw new Error(`held: ${JSON.stringify(world.admission.held)}`)
          await turn()
          // a request that was on its way when the logins ended may have come to wait for its client since
          await world.endGrants()
          world.forget()
        }
      } finally {
        await world.close()
      }
    }), { numRuns: Number(process.env.RUNS ?? 6) })
    t.pass('for any sequence')
  })
}
