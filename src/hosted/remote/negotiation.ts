import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import { getMember } from '../../members.js'
import type { ServerContext } from '../../mcp/create-server.js'
import { REVISION_2026_07_28 } from '../../mcp/wire/protocol-versions.js'
import type { RemoteHttp } from './wire/http.js'
import { HttpSseWire } from './wire/http-sse.js'
import { ModernWire } from './modern/modern-wire.js'
import type { RemoteServerOptions } from './options.js'
import { RemoteError, RemoteUnreachableError } from './wire/remote-error.js'
import { StreamableHttpWire } from './wire/streamable-http.js'
import { isResponseTo, type Wire, type WireReceiver } from './wire/wire.js'

type Params = Record<string, unknown>
type Kind = 'streamable-http' | 'sse' | 'modern'
type Era = ServerContext['era']

interface Begin {
  /** Of the client: a remote server of both eras is reached in the same one. */
  era: Era
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

/** Finds out what a remote server speaks, and remembers it. */
export class Negotiation {
  readonly #transport: NonNullable<RemoteServerOptions['transport']>
  readonly #known = new Map<Era, Kind>()

  constructor (transport: NonNullable<RemoteServerOptions['transport']>) {
    this.#transport = transport
  }

  /** Sends `initialize` in a way that the remote server takes. @throws {RemoteError} (rejects with it) if none */
  async begin (begin: Begin): Promise<Begun> {
    const { era, log } = begin
    const kinds = new Set([this.#known.get(era) ?? this.#first(era)])
    let failure: unknown
    // a set is read to the end of what is added meanwhile, and has each once
    for (const kind of kinds) {
      try {
        const begun = await beginAs(kind, begin)
        if (this.#known.get(era) !== kind) log.info({ kind, era }, 'the remote server was reached')
        this.#known.set(era, kind)
        return begun
      } catch (error) {
        log.debug({ err: error, kind }, 'a remote server does not take it this way')
        // of an older server, what it says to `initialize` explains more
        if (failure === undefined || kind === 'streamable-http') failure = error
        const other = this.#findOther(kind, error)
        if (other !== undefined) kinds.add(other)
      }
    }
    throw failure
  }

  #first (era: Era): Kind {
    if (this.#transport === 'sse') return 'sse'
    return era === 'modern' ? 'modern' : 'streamable-http'
  }

  /** What else to try. */
  #findOther (failed: Kind, error: unknown): Kind | undefined {
    if (!(error instanceof RemoteError) || error instanceof RemoteUnreachableError) return undefined
    const { status, rpcError } = error
    // whatever it speaks, it wants another caller
    if (status === 401 || status === 403) return undefined
    // older servers refuse what they do not know in many ways
    if (failed === 'modern') return 'streamable-http'
    if (failed === 'streamable-http' && isModernOnly(rpcError)) return 'modern'
    if (this.#transport !== 'auto' || !isClientError(status)) return undefined
    // it may be another one by now
    return failed === 'sse' ? 'streamable-http' : 'sse'
  }
}

function isClientError (status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500
}

/** Whether a server knows no `initialize`, since it is of 2026-07-28. */
function isModernOnly (error: RemoteError['rpcError']): boolean {
  if (error === undefined) return false
  const supported = getMember(error.data, 'supported')
  return error.code === jsonRpcCodes.unsupportedProtocolVersion || error.code === jsonRpcCodes.methodNotFound ||
    (Array.isArray(supported) && supported.includes(REVISION_2026_07_28))
}

async function beginAs (kind: Kind, { http, receiver, log, params }: Omit<Begin, 'era'>): Promise<Begun> {
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

async function makeWire (kind: Kind, { http, receiver, log }: Omit<Begin, 'era' | 'params'>): Promise<Wire> {
  switch (kind) {
    case 'streamable-http':
      return new StreamableHttpWire(http, receiver, log)
    case 'sse':
      return await HttpSseWire.open(http, receiver)
    case 'modern':
      return new ModernWire(http, receiver, log)
  }
}
