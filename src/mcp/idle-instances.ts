import type { McpServer, Server } from '@modelcontextprotocol/server'
import type { Log, ServerContext } from './create-server.js'

// what is needed at once is made; what is kept of it is bounded
const MAX_IDLE = 64

/** Instances of SDK 2.x that have answered a request, and wait for the next one, whoever makes it. */
export class IdleInstances {
  readonly #instances: Array<McpServer | Server> = []

  /** An instance that nobody else has until it is put back. */
  take (): McpServer | Server | undefined {
    return this.#instances.pop()
  }

  put (instance: McpServer | Server): void {
    if (this.#instances.length < MAX_IDLE) this.#instances.push(instance)
  }
}

/** What a factory learns whose instances serve many callers: nothing of any of them. */
export function contextForAll (log: Log): ServerContext {
  const refuse = (): never => {
    throw new Error('createServer looks at the caller, but with reuseInstances an instance serves many: take the caller from the request, or leave the option off.')
  }
  return { era: 'stateless', log, get authInfo () { return refuse() }, getUpstreamAccessToken: async () => refuse() }
}
