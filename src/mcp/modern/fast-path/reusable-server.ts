import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { SdkServer } from '../../sdk-servers.js'
import type { ModernCall } from '../modern-call.js'

/** What became of a request. Unless it is `taken`, nothing has run; `refused`: the observer has been told. */
export type Served = 'taken' | 'left' | 'refused'

/** A server that is connected and serves one request of revision 2026-07-28 at a time. */
export interface ReusableServer {
  readonly plugged: SdkServer
  /** Whether it can still serve: it may have closed itself. */
  readonly isOpen: boolean
  /** Whether it serves only clients with the same name, capabilities and log level. */
  readonly isForOneClient: boolean
  /** Serves a request. @param onFree called when it may serve the next one */
  serve (call: ModernCall, request: JSONRPCRequest, onFree: () => void): Served
  close (): void
}
