import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { PluggedServer } from '../../create-server.js'
import type { ModernCall } from '../modern-call.js'

/** A server that is connected and serves one request of revision 2026-07-28 at a time. */
export interface ReusableServer {
  readonly plugged: PluggedServer
  /** Whether it still serves: it may have closed itself. */
  readonly isOpen: boolean
  /**
   * Serves a request.
   * @param onFree it may serve the next one
   * @returns whether it does. Where it does not, nothing has run: it is for the SDK's entry.
   */
  serve (call: ModernCall, request: JSONRPCRequest, onFree: () => void): boolean
  close (): void
}
