import type { JSONRPCErrorResponse, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { taskAskers, type TaskAsker } from '../../stores/tasks/askers.js'
import type { SessionMessenger, ForwardingSession } from '../sessions/session-messenger.js'
import type { ServerTransport } from '../transport/server-transport.js'

// a server that awaits its answers is far from it
const MAX_WAITING = 1000

interface AskingSession extends ForwardingSession {
  readonly host: { readonly messenger: Pick<SessionMessenger, 'forward'> }
}

/** Lets the tasks of a session's server instance ask the client by way of any replica. */
export class SessionAsker implements TaskAsker {
  readonly #session: AskingSession
  readonly #transport: ServerTransport

  constructor (session: AskingSession, transport: ServerTransport) {
    this.#session = session
    this.#transport = transport
    taskAskers.add(session.record.id, transport, this)
  }

  expect (request: JSONRPCRequest): JSONRPCRequest {
    if (this.#transport.waiting >= MAX_WAITING) throw new Error('Too many requests wait for the client.')
    return this.#transport.expect(request)
  }

  withdraw (id: RequestId): void {
    this.#transport.withdraw(id)
  }

  settle (response: JSONRPCErrorResponse): void {
    if (this.#transport.expects(response.id)) this.#transport.receive(response, {})
    else this.#session.host.messenger.forward(this.#session, response, false)
  }

  /** The instance has closed. */
  close (): void {
    taskAskers.remove(this.#session.record.id, this.#transport)
  }
}
