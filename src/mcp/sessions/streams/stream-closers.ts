import { STANDALONE_STREAM } from '../../../stores/event-log.js'
import type { MessageExtra } from '../../transport/message-extra.js'
import type { PostExchange } from '../../transport/post-exchange.js'
import { takesPrimingEvents } from '../../wire/protocol-versions.js'
import type { InstanceSession } from '../instance-session.js'

/** What a server is told with a request, with the means to end its streams if the client can resume them (SEP-1699). */
export function withStreamClosers (
  extra: MessageExtra,
  exchange: PostExchange | undefined,
  { record, streams }: Pick<InstanceSession, 'record' | 'streams'>
): MessageExtra {
  if (exchange === undefined || !takesPrimingEvents(record.protocolVersion)) return extra
  // functions after a spread would cost ten times as much (V8)
  return {
    closeSSEStream: () => { exchange.releaseConnection() },
    closeStandaloneSSEStream: () => { streams.release(STANDALONE_STREAM) },
    ...extra
  }
}
