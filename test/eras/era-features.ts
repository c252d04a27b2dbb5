import { once } from 'node:events'
import type { Test } from 'tap'
import { valueAt } from '../support/json.js'
import { heardBy, textOf, type EraClient } from './era-clients.js'
import type { EraPlug } from './era-servers.js'

export interface Setting {
  client: EraClient
  plug: EraPlug
  /** Whether they speak 2026-07-28. */
  modern: boolean
}

/** What clients of every era must find the same. */
export const eraFeatures: Record<string, (t: Test, setting: Setting) => Promise<void>> = {
  async 'the era' (t, { client, modern }) {
    t.equal(client.revision, modern ? '2026-07-28' : '2025-11-25')
    t.equal(client.instructions, 'Ask.')
  },

  async tools (t, { client }) {
    t.ok((await client.toolNames()).includes('ask'))
    t.equal(textOf(await client.call('plain')), 'plain')
    t.match(await client.call('ask', { message: 7 }), { isError: true }, 'bad input is an error of the tool')
  },

  async progress (t, { client, plug }) {
    const updates: number[] = []
    const onprogress = ({ progress }: { progress: number }) => { if (updates.push(progress) === 5) plug.emit('seen') }
    t.equal(textOf(await client.call('progress', { steps: 5 }, { onprogress })), 'done')
    t.same(updates, [1, 2, 3, 4, 5])
  },

  async logging (t, { client, plug }) {
    const said: unknown[] = []
    const listen = ({ data }: Record<string, unknown>) => {
      said.push(data)
      if (said.length === 3) plug.emit('seen')
    }
    client.heard.on('notifications/message', listen)
    t.equal(textOf(await client.call('log', {}, { level: 'info' })), 'logged')
    t.same(said, ['info', 'error', 'of this call'], 'from the level on')
    client.heard.off('notifications/message', listen)
  },

  async 'no log messages for clients of 2026-07-28 that name no level' (t, { client, modern }) {
    if (!modern) return
    const hear = () => { t.fail('nothing is to be heard') }
    client.heard.on('notifications/message', hear)
    t.equal(textOf(await client.call('quiet')), 'quiet')
    client.heard.off('notifications/message', hear)
  },

  async elicitation (t, { client }) {
    const asked = once(client.heard, 'asked')
    t.match(JSON.parse(textOf(await client.call('ask', { message: 'Which?' }))), {
      action: 'accept',
      content: { colour: 'blue, to Which?' }
    })
    t.same(await asked, ['Which?'])
    const several = await Promise.all(['one', 'two', 'three'].map(message => client.call('ask', { message })))
    t.same(several.map(result => valueAt(JSON.parse(textOf(result)), 'content', 'colour')), [
      'blue, to one',
      'blue, to two',
      'blue, to three'
    ], 'several at once')
  },

  async sampling (t, { client }) {
    t.match(JSON.parse(textOf(await client.call('sample'))), { type: 'text', text: 'sampled' })
  },

  async 'several things at once, roots among them' (t, { client }) {
    t.match(JSON.parse(textOf(await client.call('ask-all'))), {
      colour: 'blue, to all',
      sample: { text: 'sampled' },
      roots: [{ uri: 'file:///home/alice', name: 'home' }]
    })
  },

  async 'one thing after another, with progress between them' (t, { client, plug }) {
    const updates: number[] = []
    // the client tells of its own progress too
    const onprogress = ({ progress, message }: { progress: number, message?: string | undefined }) => {
      if (message !== 'half way') return
      updates.push(progress)
      plug.emit('seen')
    }
    t.same(JSON.parse(textOf(await client.call('ask-twice', {}, { onprogress }))), [{ colour: 'blue, to first' }, {
      colour: 'blue, to second'
    }])
    t.same(updates, [5])
  },

  async 'prompts and resources that ask' (t, { client }) {
    t.match(await client.prompt('asking'), { messages: [{ content: { text: 'blue, to prompt' } }] })
    t.match(await client.read('ask://colour'), { contents: [{ text: 'blue, to resource' }] })
  },

  async cancellation (t, { client, plug }) {
    const abort = new AbortController()
    const hanging = once(plug, 'hanging')
    const aborted = once(plug, 'aborted')
    const call = client.call('hang', {}, { signal: abort.signal })
    await hanging
    abort.abort('enough')
    await t.rejects(call)
    await aborted
    t.equal(textOf(await client.call('plain')), 'plain', 'and the client goes on')
  },

  async 'announcements' (t, { client }) {
    await client.listen('file:///a')
    const changes = Promise.all(
      ['tools/list_changed', 'prompts/list_changed', 'resources/list_changed', 'resources/updated'].map(what =>
        heardBy(client, `notifications/${what}`)
      )
    )
    t.equal(textOf(await client.call('announce', { uri: 'file:///a' })), 'announced')
    const [, , , updated] = await changes
    t.match(updated, { uri: 'file:///a' })
  },

  async 'errors' (t, { client, modern }) {
    const failed = async (uri: string) => client.errorOf(await client.read(uri).catch((error: unknown) => error))
    const unknown = await failed('nowhere://at-all')
    t.equal(unknown?.code, -32602)
    if (modern) t.match(unknown?.data, { uri: 'nowhere://at-all' })
    const gone = await failed('gone://forever')
    if (modern) t.match(gone, { code: -32602, data: { uri: 'gone://forever' } })
  }
}
