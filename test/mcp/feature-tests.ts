import { once } from 'node:events'
import type { Test } from 'tap'
import { emitted } from '../support/emitted.js'
import type { FeatureClient } from './feature-clients.js'
import type { FeatureServer } from './feature-server.js'

/** The parameters of the next notification of a method, or what the client tells by another name. */
async function heard (client: FeatureClient, method: string): Promise<unknown> {
  const [params] = await emitted(client.heard, method)
  return params
}

const textOf = ({ content }: { content: unknown[] }) => {
  const [first] = content
  return typeof first === 'object' && first !== null && 'text' in first && typeof first.text === 'string'
    ? first.text
    : ''
}

/** What every client of the revisions up to 2025-11-25 must find. */
export const features: Record<string, (t: Test, client: FeatureClient, plug: FeatureServer) => Promise<void>> = {
  async sampling (t, client) {
    t.match(
      JSON.parse(textOf(await client.call('sample', { prompt: 'hello' }))),
      { content: { text: /You said: .*hello/ }, updates: 1 },
      'with the client\'s progress'
    )
  },

  async 'elicitation in form mode' (t, client) {
    t.match(JSON.parse(textOf(await client.call('ask', { question: 'Which colour?' }))), {
      action: 'accept',
      content: { colour: 'blue' }
    })
    t.match(JSON.parse(textOf(await client.call('ask-aside', { question: 'And now?' }))), {
      action: 'accept',
      content: { colour: 'blue' }
    }, 'on the standalone stream')
    const several = await Promise.all(['one', 'two', 'three'].map(question => client.call('ask', { question })))
    t.ok(several.every(result => textOf(result).includes('blue')), 'several at once')
  },

  async 'elicitation in URL mode' (t, client) {
    const visited = heard(client, 'visit')
    const complete = heard(client, 'notifications/elicitation/complete')
    t.equal(textOf(await client.call('visit', { url: 'https://pay.example/1' })), 'accept')
    t.equal(await visited, 'https://pay.example/1')
    t.match(await complete, { elicitationId: 'visit-1' })
  },

  async roots (t, client) {
    t.match(JSON.parse(textOf(await client.call('roots'))), [{ uri: 'file:///home/alice' }])
  },

  async progress (t, client, plug) {
    const updates: number[] = []
    const onprogress = ({ progress }: { progress: number }) => { if (updates.push(progress) === 5) plug.emit('seen') }
    t.equal(textOf(await client.call('progress', { steps: 5 }, { onprogress })), 'done')
    t.same(updates, [1, 2, 3, 4, 5])
  },

  async logging (t, client) {
    const all = gathered(client, 'notifications/message', 5)
    await client.call('log')
    t.same(
      (await all).map(({ data }) => data).sort(),
      ['debug', 'error', 'info', 'of this call', 'warning'],
      'everything at first'
    )
    await client.setLevel('warning')
    const loud = gathered(client, 'notifications/message', 3)
    await client.call('log')
    t.same((await loud).map(({ data }) => data).sort(), ['error', 'of this call', 'warning'], 'then from the level on')
  },

  async completions (t, client) {
    t.same(await client.complete({ type: 'ref/prompt', name: 'city' }, { name: 'name', value: 'Pa' }), [
      'Paris',
      'Pavia'
    ])
    t.same(await client.complete({ type: 'ref/resource', uri: 'book://{title}' }, { name: 'title', value: 'E' }), [
      'Emma',
      'Erewhon'
    ])
  },

  async 'resource subscriptions' (t, client) {
    await client.subscribe('file:///a')
    const updated = heard(client, 'notifications/resources/updated')
    t.equal(textOf(await client.call('touch', { uri: 'file:///a' })), 'touched')
    t.match(await updated, { uri: 'file:///a' })
    await client.unsubscribe('file:///a')
    t.equal(textOf(await client.call('touch', { uri: 'file:///a' })), 'nobody listens')
  },

  async 'list changes' (t, client) {
    t.notOk((await client.toolNames()).includes('grown'))
    const changes = Promise.all(
      ['tools', 'resources', 'prompts'].map(list => heard(client, `notifications/${list}/list_changed`))
    )
    await client.call('grow')
    t.equal((await changes).length, 3)
    t.ok((await client.toolNames()).includes('grown'))
  },

  async 'cancellation by the client' (t, client, plug) {
    const abort = new AbortController()
    const hanging = once(plug, 'hanging')
    const aborted = once(plug, 'aborted')
    const call = client.call('hang', { name: 'long' }, { signal: abort.signal })
    await hanging
    abort.abort('changed my mind')
    await t.rejects(call)
    t.same(await aborted, ['long', 'changed my mind'])
    t.equal(textOf(await client.call('progress', { steps: 0 })), 'done', 'the session continues')
  },

  async 'cancellation by the server' (t, client, plug) {
    const asking = new Promise<() => void>(resolve => plug.once('asking', resolve))
    const asked = once(client.heard, 'asked')
    const givenUp = once(client.heard, 'given up')
    const call = client.call('ask-in-vain')
    const giveUp = await asking
    await asked
    giveUp()
    t.same(await givenUp, ['lost patience'])
    t.match(textOf(await call), /lost patience/)
  }
}

/** The next `count` notifications of a method. */
async function gathered (
  client: FeatureClient,
  method: string,
  count: number
): Promise<Array<Record<string, unknown>>> {
  const all: Array<Record<string, unknown>> = []
  return await new Promise(resolve => {
    const take = (params: Record<string, unknown>) => {
      all.push(params)
      if (all.length < count) return
      client.heard.off(method, take)
      resolve(all)
    }
    client.heard.on(method, take)
  })
}
