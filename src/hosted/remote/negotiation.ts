import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'
import type { Era } from '../../mcp/wire/protocol-versions.js'
import { isModernOnly } from '../modern/is-modern-only.js'
import { ModernWire } from '../modern/modern-wire.js'
import { HostedError } from '../wire/hosted-error.js'
import { isResponseTo, type Wire, type WireReceiver } from '../wire/wire.js'
import { HttpPeer } from './modern/http-peer.js'
import type { RemoteServerOptions } from './options.js'
import { RemoteError, RemoteSilentError, RemoteUnreachableError } from './wire/remote-error.js'
import type { RemoteHttp } from './wire/http.js'
import { HttpSseWire } from './wire/http-sse.js'
import { StreamableHttpWire } from './wire/streamable-http.js'

type Params = Record<string, unknown>
type Kind = 'streamable-http' | 'sse' | 'modern'

interface Begin {
  /** Of the client: a remote server of both eras is reached in the same one. */
  era: Era
  http: RemoteHttp
  receiver: WireReceiver
  log: Log
  params: Params
}

interface Attempt extends Omit<Begin, 'era'> {
  kind: Kind
  /** How long a server may be silent that is asked whether it is of 2026-07-28. */
  discoverSeconds: number
}

interface Otherwise {
  next: Kind | undefined
  tried: Set<Kind>
  failure: unknown
}

interface Begun {
  wire: Wire
  result: Params
}

const INITIALIZE = 'initialize'
/** Some older servers do not respond to what they do not know: one that is known to know it may take longer. */
const PROBE_SECONDS = 5

/** Finds out what a remote server speaks, and remembers it. */
export class Negotiation {
  readonly #transport: NonNullable<RemoteServerOptions['transport']>
  readonly #known = new Map<Era, Kind>()

  constructor (transport: NonNullable<RemoteServerOptions['transport']>) {
    this.#transport = transport
  }

  /** Sends `initialize` in a way that the remote server takes. @throws {HostedError} (rejects with it) if none */
  async begin (begin: Begin): Promise<Begun> {
    const { era, log } = begin
    const known = this.#known.get(era)
    const first = known ?? this.#first(era)
    const isProbe = first === 'modern' && known === undefined
    let failure: unknown
    try {
      return await this.#beginAs(first, begin, isProbe)
    } catch (error) {
      log.debug({ err: error, kind: first }, 'a remote server does not take it this way')
      if (error instanceof RemoteSilentError) this.#known.delete(era)
      failure = error
    }
    const wasSilent = isProbe && failure instanceof RemoteSilentError
    // one that was slow may turn out to be of 2026-07-28
    const tried = new Set<Kind>(wasSilent ? [] : [first])
    const next = wasSilent ? 'streamable-http' : this.#findOther(first, failure)
    const begun = await this.#beginOtherwise(begin, { next, tried, failure })
    return wasSilent && this.#known.get(era) !== 'modern' ? await this.#askAgain(begin, begun) : begun
  }

  /** One that has responded to `initialize` is awake: was it only slow to say that it is of 2026-07-28 too? */
  async #askAgain (begin: Begin, begun: Begun): Promise<Begun> {
    try {
      const modern = await this.#beginAs('modern', begin, true)
      await begun.wire.close()
      return modern
    } catch (error) {
      begin.log.debug({ err: error }, 'a remote server is not of 2026-07-28')
      return begun
    }
  }

  async #beginOtherwise (begin: Begin, { next, tried, failure: first }: Otherwise): Promise<Begun> {
    let [kind, failure] = [next, first]
    while (kind !== undefined && !tried.has(kind)) {
      tried.add(kind)
      try {
        return await this.#beginAs(kind, begin, false)
      } catch (error) {
        begin.log.debug({ err: error, kind }, 'a remote server does not take it this way')
        // of an older server, what it says to `initialize` explains more
        if (kind === 'streamable-http') failure = error
        kind = this.#findOther(kind, error)
      }
    }
    throw failure
  }

  async #beginAs (kind: Kind, begin: Begin, isProbe: boolean): Promise<Begun> {
    const { era, log, http: { limits: { connectSeconds } } } = begin
    const discoverSeconds = isProbe ? Math.min(PROBE_SECONDS, connectSeconds) : connectSeconds
    const begun = await beginAs({ ...begin, kind, discoverSeconds })
    if (this.#known.get(era) !== kind) {
      log.info({ kind, era }, 'the remote server was reached')
      this.#known.set(era, kind)
    }
    return begun
  }

  #first (era: Era): Kind {
    if (this.#transport === 'sse') return 'sse'
    return era === 'modern' ? 'modern' : 'streamable-http'
  }

  /** What else to try. */
  #findOther (failed: Kind, error: unknown): Kind | undefined {
    if (!(error instanceof HostedError) || error instanceof RemoteUnreachableError) return undefined
    const status = error instanceof RemoteError ? error.status : undefined
    // whatever it speaks, it wants another caller
    if (status === 401 || status === 403) return undefined
    // older servers refuse what they do not know in many ways
    if (failed === 'modern') return 'streamable-http'
    if (failed === 'streamable-http' && isModernOnly(error.rpcError)) return 'modern'
    if (this.#transport !== 'auto' || !isClientError(status)) return undefined
    // it may be another one by now
    return failed === 'sse' ? 'streamable-http' : 'sse'
  }
}

function isClientError (status: number | undefined): boolean {
  return status !== undefined && status >= 400 && status < 500
}

async function beginAs ({ receiver, params, ...attempt }: Attempt): Promise<Begun> {
  let response: JSONRPCMessage | undefined
  const watched: WireReceiver = {
    received: async (message, of) => {
      if (response === undefined && isResponseTo(message, INITIALIZE)) response = message
      else await receiver.received(message, of)
    },
    lost: error => { receiver.lost(error) }
  }
  const wire = await makeWire({ ...attempt, receiver: watched })
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

async function makeWire ({ kind, http, receiver, log, discoverSeconds }: Omit<Attempt, 'params'>): Promise<Wire> {
  switch (kind) {
    case 'streamable-http':
      return new StreamableHttpWire(http, receiver, log)
    case 'sse':
      return await HttpSseWire.open(http, receiver)
    case 'modern':
      return new ModernWire(new HttpPeer(http, receiver, discoverSeconds), receiver, log)
  }
}
