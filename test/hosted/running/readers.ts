import { initializeParams, RawClient } from '../../support/mcp-harness.js'
import { next, parseData, post, readEvents, type SseEvent } from '../../support/raw-http.js'
import { isObject, getMember } from '../../../src/members.js'

type Message = Record<string, unknown>

/** A call whose client reads when the test wants it to. */
export interface PacedCall {
  /** Reads on to the response. @returns all messages, the response at the end; none if the connection ends before */
  read (): Promise<Message[]>
}

export type BeginCall = (url: string, token: string, tool: string, args: Message) => Promise<PacedCall>

/** Clients of each era that read only when they are told to. */
export const readers: Record<string, BeginCall> = {
  'session of 2025-11-25': async (url, token, name, args) => {
    const client = await new RawClient({ url }, token).connect()
    const params = { name, arguments: args, _meta: { progressToken: 'p' } }
    return paced(readEvents(await client.request('tools/call', params)))
  },
  '2026-07-28': async (url, token, name, args) => {
    const options = { token, capabilities: {}, meta: { progressToken: 'p' } }
    return paced(readEvents(await post(url, 'tools/call', { name, arguments: args }, options)))
  },
  'HTTP+SSE': async (url, token, name, args) => {
    const authorization = `Bearer ${token}`
    const events = readEvents(
      await fetch(`${url}/sse`, { headers: { authorization, accept: 'text/event-stream' } })
    )
    const { data: endpoint } = await next(events)
    const say = async (message: object) => {
      await (await fetch(endpoint, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', ...message })
      })).text()
    }
    await say({ id: 1, method: 'initialize', params: initializeParams('2024-11-05') })
    await next(events)
    await say({ method: 'notifications/initialized' })
    await say({ id: 2, method: 'tools/call', params: { name, arguments: args, _meta: { progressToken: 'p' } } })
    return paced(events)
  }
}

function paced (events: AsyncGenerator<SseEvent, undefined>): PacedCall {
  return {
    read: async () => {
      const messages: Message[] = []
      try {
        for await (const event of events) {
          const message = parseData(event)
          if (!isObject(message)) continue
          messages.push(message)
          if (getMember(message, 'method') === undefined) return messages
        }
      } catch {
        // cut
      }
      return []
    }
  }
}
