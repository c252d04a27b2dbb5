'@modelcontextprotocol/server'
import type { SessionChange, SessionRecord } from '../../stores/sessions.js'
import type { ServerTransport } from '../transport/server-transport.js'
import type { MessageExtra } from '../transport/message-extra.js'

/** Brings the server of a new instance to the state that the session's record describes. */
export async function replaySession (
  server: ServerTransport,
  record: SessionRecord,
  extra: MessageExtra
): Promise<void> {
  if (record.initializeParams === undefined) return
  await server.request('initialize', record.initializeParams, extra)
  if (record.initialized) server.receive({ jsonrpc: '2.0', method: 'notifications/initialized' }, extra)
  if (record.logLevel !== undefined) await server.request('logging/setLevel', { level: record.logLevel }, extra)
  for (const uri of record.subscriptions) await server.request('resources/subscribe', { uri }, extra)
}

/** Applies to a server what another replica, which has checked it, changed in the session. */
export async function followChange (
  server: ServerTransport,
  change: SessionChange,
  extra: MessageExtra
): Promise<void> {
  if ('logLevel' in change) await server.request('logging/setLevel', { level: change.logLevel }, extra)
  else if ('subscribe' in change) await server.request('resources/subscribe', { uri: change.subscribe }, extra)
  else if ('unsubscribe' in change) await server.request('resources/unsubscribe', { uri: change.unsubscribe }, extra)
  else if ('initialized' in change) server.receive({ jsonrpc: '2.0', method: 'notifications/initialized' }, extra)
}
