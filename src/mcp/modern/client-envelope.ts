import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  LOG_LEVEL_META_KEY,
  type ClientCapabilities,
  type JSONRPCRequest
} from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'

type Params = Record<string, unknown>

/** What a client says of itself, in every request. */
export interface ClientIdentity {
  info: Params
  capabilities: ClientCapabilities & Params
  /** Of the log messages it wants; SEP-2577: without one, of none. */
  logLevel: string | undefined
}

export function readClient (request: JSONRPCRequest | undefined): ClientIdentity {
  const meta: Params = request?.params?._meta ?? {}
  const { [CLIENT_INFO_META_KEY]: info, [CLIENT_CAPABILITIES_META_KEY]: capabilities, [LOG_LEVEL_META_KEY]: logLevel } =
    meta
  return {
    info: isObject(info) ? info : { name: 'unknown', version: '0' },
    capabilities: isObject(capabilities) ? capabilities : {},
    logLevel: typeof logLevel === 'string' ? logLevel : undefined
  }
}

/** The same for clients that say the same. */
export function clientKey ({ info, capabilities, logLevel }: ClientIdentity): string {
  return JSON.stringify([info, capabilities, logLevel])
}
