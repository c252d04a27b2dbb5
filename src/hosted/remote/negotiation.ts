import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import { getMember } from '../../members.js'
import { REVISION_2026_07_28 } from '../../mcp/wire/protocol-versions.js'
import type { RemoteHttp } from './wire/http.js'
import { HttpSseWire } from './wire/http-sse.js'
import { ModernWire } from './modern/modern-wire.js'
import type { RemoteServerOptions } from './options.js'
import { RemoteError } from './wire/remote-error.js'
import { StreamableHttpWire } from './wire/streamable-http.js'
import { isResponseTo, type Wire, type WireReceiver } from './wire/wire.js'

type Params = Record<string, unknown>
type Kind = 'streamable-http' | 'sse' | 'modern'

interface Begin {
  http: RemoteHttp
  receiver: WireReceiver
  log: Log
  params: Params
}

interface Begun {
  wire: Wire
  result: Params
}

const INITIALIZE = 'initialize'
const METHOD_NOT_FOUND = -32601

/** Finds out what a remote server speaks, and remembers it. */
export class Negotiation {
  readonly #transport: NonNullable<RemoteServerOptions['transport']>
  #known: Kind | undefined

  constructor (transport: NonNullable<RemoteServerOptions['transport']>) {
    this.#transport = transport
    if (transport !== 'auto') this.#known = transport
  }

  /** Sends `initialize` in a way that the remote server takes. @throws {RemoteError} (rejects with it) if none */
  async begin (begin: Begin): Promise<Begun> {
    const first = this.#known ?? 'streamable-http'
    try {
      const begun = await beginAs(first, begin)
      this.#known = first
      return begun
    } catch (error) {
      const others = this.#findOthers(first, error)
      for (const kind of others) {
        const begun = await beginAs(kind, begin).catch((err: unknown) => {
          begin.log.debug({ err, kind }, 'a remote server does not take it this way, either')
        })
        if (begun === undefined) continue
        this.#known = kind
        begin.log.info({ kind }, 'the remote server was reached')
        return begun
      }
      throw error
    }
  }

  /** What else to try. */
  #findOthers (failed: Kind, error: unknown): Kind[] {
    if (!(error instanceof RemoteError)) return []
    const { status, rpcError } = error
    const isRefused = status !== undefined && status >= 400 && status < 500 && status !== 401 && status !== 403
    if (failed === 'streamable-http') {
      if (isModernOnly(rpcError)) return ['modern']
      return isRefused && this.#transport === 'auto' ? ['sse'] : []
    }
    // it may be another one by now
    return this.#transport === 'auto' && isRefused ? ['streamable-http'] : []
  }
}

/** Whether a server knows no `initialize`, since it is of 2026-07-28. */
function isModernOnly (error: RemoteError['rpcError']): boolean {
  if (error === undefined) return false
  const supported = getMember(error.data, 'supported')
  return error.code === jsonRpcCodes.unsupportedProtocolVersion || error.code === METHOD_NOT_FOUND ||
    (Array.isArray(supported) && supported.includes(REVISION_2026_07_28))
}

async function beginAs (kind: Kind, { http, receiver, log, params }: Begin): Promise<Begun> {
  let response: JSONRPCMessage | undefined
  const watched: WireReceiver = {
    received: async (message, of) => {
      if (response === undefined && isResponseTo(message, INITIALIZE)) response = message
      else await receiver.received(message, of)
    },
    lost: error => { receiver.lost(error) }
  }
  const wire = await makeWire(kind, { http, receiver: watched, log })
  try {
    await wire.send({ jsonrpc: '2.0', id: INITIALIZE, method: 'initialize', params })
    if (response === undefined || 'method' in response) throw new RemoteError('it does not respond to initialize')
    if ('error' in response) throw new RemoteError('it refuses initialize', { rpcError: response.error })
    return { wire, result: response.result }
  } catch (error) {
    await wire.close()
    throw error
  }
}

async function makeWire (kind: Kind, { http, receiver, log }: Omit<Begin, 'params'>): Promise<Wire> {
  switch (kind) {
    case 'streamable-http':
      return new StreamableHttpWire(http, receiver, log)
    case 'sse':
      return await HttpSseWire.open(http, receiver)
    case 'modern':
      return new ModernWire(http, receiver, log)
  }
}
