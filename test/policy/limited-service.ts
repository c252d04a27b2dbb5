import Fastify, { type FastifyInstance } from 'fastify'
import { Policy } from '../../src/policy/policy.js'
import type { PolicyRules } from '../../src/policy/rules.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { Stores } from '../../src/stores/stores.js'
import { injectFetch } from '../../src/testing/index.js'
import type { GreedyClient, Way } from '../attacks/greedy-clients.js'
import { greedyOptions } from '../attacks/greedy-options.js'
import { GreedyPlug } from '../attacks/greedy-plug.js'

/** A service whose policy limits calls, at as many replicas as there are stores. */
export class LimitedService {
  readonly plug = new GreedyPlug()
  /** What observers were told. */
  refused: string[] = []
  readonly apps: FastifyInstance[] = []
  readonly #way: Way
  readonly #policy: Policy
  #clients = 0
  #people = ''

  private constructor (way: Way, policy: PolicyRules) {
    this.#way = way
    this.#policy = new Policy(policy)
  }

  static async start (way: Way, replicas: readonly Stores[], policy: PolicyRules = {}): Promise<LimitedService> {
    const service = new LimitedService(way, policy)
    for (const stores of replicas) service.apps.push(await service.#makeApp(stores))
    return service
  }

  /** Begins again with other rules, for other people and clients. */
  begin (policy: PolicyRules, people: string): void {
    this.#policy.replace(policy)
    this.#people = people
    this.plug.runs = 0
    this.refused = []
  }

  /** A client at the next replica: with a client id of its own, and where there are sessions with one of its own. */
  async client (person: string, clientId = `client-${++this.#clients}`): Promise<GreedyClient> {
    return await this.#way.connect(this.fetchAt(++this.#clients), `${person}${this.#people}.${clientId}${this.#people}`)
  }

  fetchAt (replica: number): typeof fetch {
    const app = this.apps[replica % this.apps.length]
    if (app === undefined) throw new Error('There is no replica.')
    return injectFetch(app)
  }

  async close (): Promise<void> {
    this.plug.release()
    await Promise.all(this.apps.map(app => app.close()))
  }

  async #makeApp (stores: Stores): Promise<FastifyInstance> {
    const app = Fastify()
    await app.register(mcpService, {
      ...greedyOptions(this.#way, this.plug),
      stores,
      policy: this.#policy,
      mcpObserver: { refused: limit => { this.refused.push(limit) } }
    })
    return app
  }
}
