import { once, EventEmitter } from 'node:events'
import type { Use, UsingClient } from '../hosted/uses.js'
import type { Journey } from './journeys.js'

/** What one person does at a service. */
export interface Visit {
  /** As whom they log in. */
  name: string
  /** All that they want there. */
  use (client: UsingClient): Promise<void>
  /** The last of it, again. */
  check (client: UsingClient): Promise<void>
}

let people = 0

/** Two people are there with the same client at the same time, each with what is theirs. */
export async function visitAtOnce (journey: Journey, url: string, use: Use): Promise<void> {
  const [alice, bob] = [`alice-${++people}`, `bob-${people}`]
  const meeting = new EventEmitter()
  let expected = 2
  const visit = async (me: string, other: string) => {
    const check = async (client: UsingClient) => { await use.check(client, me, other) }
    try {
      await journey(url, {
        name: me,
        async use (client) {
          await use.act(client, me)
          const met = once(meeting, 'met')
          if (--expected === 0) meeting.emit('met')
          await met
          await check(client)
        },
        check
      })
    } catch (error) {
      // the other one does not wait
      meeting.emit('error', error)
      throw error
    }
  }
  meeting.on('error', () => {})
  await Promise.all([visit(alice, bob), visit(bob, alice)])
}
