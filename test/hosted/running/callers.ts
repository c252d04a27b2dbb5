import type { Test } from 'tap'
import { RawClient } from '../../support/mcp-harness.js'
import { post } from '../../support/raw-http.js'
import { SseClient } from '../../support/sse-client.js'
import { readResponse } from '../stdio.js'

export type Message = Record<string, unknown>

/** Somebody who calls tools. */
export interface Caller {
  /** The response, once it has come. Rejects if the connection ends before. */
  call (tool: string, args: Record<string, unknown>): Promise<Message>
}

/** Clients of each era, as far as a server can tell them apart. */
export const callers: Record<string, (t: Test, url: string, token: string) => Promise<Caller>> = {
  'session of 2025-11-25': async (_t, url, token) => {
    const client = await new RawClient({ url }, token).connect()
    return {
      call: async (name, args) => await readResponse(await client.request('tools/call', { name, arguments: args }))
    }
  },
  '2026-07-28': async (_t, url, token) => ({
    call: async (name, args) =>
      await readResponse(await post(url, 'tools/call', { name, arguments: args }, { token, capabilities: {} }))
  }),
  'HTTP+SSE': async (t, url, token) => {
    const client = await (await SseClient.open(t, { url }, token)).initialize({ url })
    let id = 0
    return {
      call: async (name, args) => {
        const request = { jsonrpc: '2.0', id: ++id, method: 'tools/call', params: { name, arguments: args } }
        await client.say({ url }, request)
        return await client.response(request.id)
      }
    }
  }
}
