import { once } from 'node:events'
import type { Test } from 'tap'
import type { FeatureServer } from '../mcp/feature-server.js'
import { parseAsked, type Asked } from '../eras/input-required.js'
import { objectOf, parseObject, valueAt } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import {
  next,
  parseData,
  post as postModern,
  readEvents,
  request as askModern,
  type SseEvent
} from '../support/raw-http.js'
import { SseClient } from '../support/sse-client.js'
import { tokenOf, type Name, type Place } from './two-servers.js'

/** All that a server has given out to a client, by name. */
export interface Ids {
  session: string
  sseSession: string
  /** Of somebody who has not logged in. */
  openSession: string
  /** Of an event of a response that goes on. */
  event: string
  /** Of a request of the server that the client is yet to answer. */
  elicitation: string
  task: string
  cursor: string
  requestState: string
}

export const ASK = { name: 'ask', arguments: { question: 'Which?' } }
export const URI = 'note://shared'
/** Ids that clients choose. */
export const CHOSEN = { asking: 'asks', hanging: 'hangs', listening: 'listens', progress: 'its progress' }

/** The next of the events that has a message, less those of tasks. */
async function nextMessage (events: Events) {
  for (;;) {
    const event = await next(events)
    const message = parseData(event)
    if (message === undefined || event.data.includes('notifications/tasks/status')) continue
    return { id: event.id ?? '', message: objectOf(message) }
  }
}

type Events = AsyncGenerator<SseEvent, undefined>

/** What a client has open. */
interface Open {
  url: { url: string }
  features: FeatureServer
  client: RawClient
  nobody: RawClient
  sse: SseClient
  asked: Asked
  /** Of the call that asks. */
  answers: Events
  /** Of subscriptions. */
  heard: readonly Events[]
  ids: Ids
  finish: () => void
}

/** A client of one server that has something of everything open, and can say whether it is all well. */
export class Holder {
  readonly #open: Open
  #aborted = 0

  private constructor (open: Open) {
    this.#open = open
    open.features.on('aborted', () => { this.#aborted++ })
  }

  get ids (): Ids {
    return this.#open.ids
  }

  static async open (t: Test, place: Place, name: Name, person: string): Promise<Holder> {
    const [url, token, features] = [place.at(name), tokenOf(person, name), place.features[name]]
    let finish = () => {}
    features.thinking = new Promise(resolve => { finish = resolve })
    const client = await new RawClient(url, token).connect('2025-11-25', { elicitation: { form: {} } })
    const heard = readEvents(await client.get())
    await client.request('resources/subscribe', { uri: URI })
    const touched = await (await call(client, 'touch', { uri: URI })).text()
    if (!touched.includes('touched')) throw new Error(touched)
    await nextMessage(heard)

    const answers = readEvents(await client.post({
      jsonrpc: '2.0',
      id: CHOSEN.asking,
      method: 'tools/call',
      params: { ...ASK, _meta: { progressToken: CHOSEN.progress } }
    }))
    const { id: event, message: { id: elicitation } } = await nextMessage(answers)

    const hanging = once(features, 'hanging')
    const left = new AbortController()
    t.teardown(() => { left.abort() })
    client.post({
      jsonrpc: '2.0',
      id: CHOSEN.hanging,
      method: 'tools/call',
      params: { name: 'hang', arguments: { name: 'x' } }
    }, {}, left.signal).catch(() => {})
    await hanging

    const { task, cursor } = await beginTasks(client)
    const nobody = await new RawClient(url, '').connect()
    const sse = await SseClient.open(t, url, token)
    await sse.initialize(url)

    const asked = parseAsked((await askModern(url.url, 'tools/call', ASK, { token })).result)
    const listening = await postModern(url.url, 'subscriptions/listen', {
      notifications: { resourceSubscriptions: [URI] }
    }, { token, signal: left.signal })
    const heardModern = readEvents(listening)
    await next(heardModern)
    return new Holder({
      url,
      features,
      client,
      nobody,
      sse,
      asked,
      answers,
      heard: [heard, heardModern],
      finish,
      ids: {
        session: client.sessionId ?? '',
        sseSession: sse.sessionId,
        openSession: nobody.sessionId ?? '',
        event,
        elicitation: String(elicitation),
        task,
        cursor,
        requestState: asked.requestState
      }
    })
  }

  /** Checks that nothing has ended, and that nothing was answered, by going on with all of it. */
  async check (t: Test): Promise<void> {
    const { url, features, client, nobody, sse, asked, answers, heard, ids, finish } = this.#open
    const answer = { action: 'accept', content: { colour: 'blue' } }
    t.equal(this.#aborted, 0, 'no call was cancelled')
    t.match(await ask(client, 'tasks/get', { taskId: ids.task }), { result: { status: 'working' } })
    t.equal((await client.post({ jsonrpc: '2.0', id: ids.elicitation, result: answer })).status, 202)
    t.match(JSON.stringify((await nextMessage(answers)).message), 'blue', 'what was asked can be answered')
    finish()
    t.match(await ask(client, 'tasks/result', { taskId: ids.task }), { result: { content: [{ text: 'whales' }] } })
    const { result } = await askModern(url.url, 'tools/call', {
      ...ASK,
      requestState: ids.requestState,
      inputResponses: Object.fromEntries(Object.keys(asked.inputRequests).map(key => [key, answer]))
    }, { token: client.token })
    t.match(JSON.stringify(result), 'blue', 'what waits for input continues')
    await sse.say(url, { jsonrpc: '2.0', id: 'list', method: 'tools/list' })
    t.match(await sse.response('list'), { result: {} }, 'HTTP+SSE goes on')
    t.equal((await call(nobody, 'state', {})).status, 200, 'and so does who has not logged in')
    features.instance.context.announce({ kind: 'resource_updated', uri: URI })
    for (const events of heard) {
      t.match((await nextMessage(events)).message, { method: 'notifications/resources/updated' })
    }
  }
}

/** Begins a page of tasks and one more. @returns the first, and where the second page begins */
async function beginTasks (client: RawClient): Promise<Pick<Ids, 'task' | 'cursor'>> {
  const params = { name: 'think', arguments: { about: 'whales' }, task: { ttl: 60_000 } }
  const first = await ask(client, 'tools/call', params)
  for (let more = 0; more < 20; more++) await ask(client, 'tools/call', params)
  const { result } = await ask(client, 'tasks/list', {})
  return { task: String(valueAt(first, 'result', 'task', 'taskId')), cursor: String(valueAt(result, 'nextCursor')) }
}

/** The response to a request, as JSON or as a stream. */
async function ask (client: RawClient, method: string, params: Record<string, unknown>) {
  const text = await (await client.request(method, params)).text()
  return parseObject(text.replace(/^[^]*data: (?=\{)/, ''))
}

export async function call (client: RawClient, name: string, args: Record<string, unknown>): Promise<Response> {
  return await client.request('tools/call', { name, arguments: args })
}
