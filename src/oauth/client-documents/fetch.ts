import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { InvalidClientError, OAuthError, passesIn, TemporarilyUnavailableError } from '../../errors.js'
import { findOutageOfConnection, findOutageOfStatus } from '../../errors/outage.js'
import { bareHost, isThisMachine, objectionTo, type Address } from './public-addresses.js'
import { resolveName } from './resolve-name.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import { isObject } from '../../members.js'

export interface FetchMetadataDocumentOptions {
  /** Outside production: loopback addresses, and http there, are allowed. */
  allowLoopback: boolean
  /** The largest body that is read. */
  maxBytes?: number
  /** For all of it, from DNS to the last byte. */
  timeoutMs?: number
  /** For tests: resolves a name to all its addresses; none if the name does not exist. */
  lookup?: (hostname: string) => Promise<Address[]>
  now?: () => number
}

export interface FetchedDocument {
  document: Record<string, unknown>
  maxAgeSeconds: number
}

/** Fetches at once, in all and from one host. */
const MAX_FETCHES = 64
const MAX_FETCHES_OF_HOST = 4
/** How long a host that could not be reached is not tried again, and how many such hosts are remembered. */
const UNREACHABLE_MS = 30_000
const MAX_UNREACHABLE = 1000
// others are being fetched
const BUSY_SECONDS = 2

/** One public message for every reason, or the responses would map our network for any caller. */
const refusal = (detail: string, cause?: unknown) =>
  new InvalidClientError('The metadata document of the client cannot be used.', { detail, cause })

/** The host says that there is no such client. */
const gone = (detail: string) =>
  new InvalidClientError('The metadata document of the client cannot be used.', { detail, reason: 'document_gone' })

/** The host may respond differently soon. */
const outage = (detail: string, cause?: unknown, seconds = UNREACHABLE_MS / 1000) =>
  new TemporarilyUnavailableError(
    ...passesIn(seconds, 'The metadata document of the client cannot be read.', {
      detail,
      cause,
      reason: 'document_unreachable'
    })
  )

/** The host fails until its operator acts, by its certificate for one. The last good document is still used. */
const broken = (detail: string, cause?: unknown) =>
  new InvalidClientError('The metadata document of the client cannot be used.', {
    detail,
    cause,
    reason: 'document_unreachable'
  })

/**
 * Whether a client_id is the URL of a metadata document: https, with a path other than "/", no fragment, no userinfo,
 * no dot segments, at most 2048 characters. Loopback hosts, with http or https, only if allowLoopback.
 */
export function isMetadataDocumentUrl (clientId: string, allowLoopback: boolean): boolean {
  // The raw string is checked: URL would repair dot segments, backslashes, tabs and missing slashes before we see them.
  if (clientId.length > 2048 || !/^[\x21-\x7e]+$/.test(clientId)) return false
  const [, path] = /^https?:\/\/[^/?#@\\]+(\/[^?#\\]*)(?:\?[^#\\]*)?$/i.exec(clientId) ?? []
  if (path === undefined || path === '/' || !URL.canParse(clientId)) return false
  // "%2e" is a dot to URL (WHATWG URL, "double-dot URL path segment").
  if (path.split('/').some(segment => /^(?:\.|%2e){1,2}$/i.test(segment))) return false
  const url = new URL(clientId)
  const host = bareHost(url)
  return isThisMachine(host) ? allowLoopback : url.protocol === 'https:'
}

/** Rejects when the signal does: a DNS query cannot be aborted, only no longer waited for. */
function untilAborted<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    promise.then(resolve, reject)
  })
}

/** How far a request has come: shows what failed. */
interface Progress {
  connected: boolean
}

/** Requests the URL at addresses that were checked: a second resolution could answer differently (DNS rebinding). */
function get (url: URL, addresses: Address[], signal: AbortSignal, progress: Progress): Promise<http.IncomingMessage> {
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, addresses)
    else if (first !== undefined) callback(null, first.address, first.family)
    else callback(new Error(`${hostname} has no address`), '')
  }
  // no agent: a pooled connection was opened elsewhere, and a proxy would resolve the name itself
  const options = {
    agent: false,
    lookup,
    signal,
    headers: { accept: 'application/json', 'user-agent': 'fastify-mcp-oauth' }
  }
  const host = bareHost(url)
  const secure = url.protocol === 'https:'
  return new Promise((resolve, reject) => {
    const request = secure
      // TLS takes no IP address as a server name; the certificate is then checked against the address (RFC 6066 3).
      ? https.request(url, { ...options, servername: isIP(host) === 0 ? host : '' })
      : http.request(url, options)
    request.on('socket', socket =>
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        progress.connected = true
      }))
    request.on('response', resolve)
    request.on('error', reject)
    request.on('close', () => reject(new Error('the connection was closed without a response')))
    request.end()
  })
}

async function readBody (response: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response) {
    bytes += chunk.length
    if (bytes > maxBytes) throw refusal(`the body is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (error) {
    throw refusal(`the body cannot be read: ${String(error)}`, error)
  }
}

/** How long the response may be kept: five minutes by default, never more than a day. */
function parseMaxAge (cacheControl = ''): number {
  const directives = cacheControl.toLowerCase().split(',').map(directive => directive.trim())
  if (directives.some(directive => /^no-(?:store|cache)(?:\s*=|$)/.test(directive))) return 0
  const ages = directives.filter(directive => directive.startsWith('max-age'))
    // A malformed age counts as stale (RFC 9111 4.2.1); of several the strictest counts.
    .map(directive => Number(/^max-age="?(\d+)"?$/.exec(directive)?.[1] ?? 0))
  return ages.length === 0 ? 300 : Math.min(86_400, ...ages)
}

/**
 * Fetches the metadata documents of client ids (draft-ietf-oauth-client-id-metadata-document): only from public
 * addresses, a few at a time in all and from each host, and not again at once from a host that could not be reached.
 */
export class MetadataDocumentFetcher {
  readonly #options: FetchMetadataDocumentOptions
  readonly #now: () => number
  #fetches = 0
  readonly #fetchesOf = new Map<string, number>()
  /** Names that could not be resolved, and hosts with their port that could not be connected to. */
  readonly #unreachable = new BoundedMap<string, { until: number, error: OAuthError }>(MAX_UNREACHABLE)

  constructor (options: FetchMetadataDocumentOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /**
   * Fetches the document of a client.
   * @throws {InvalidClientError} if it cannot be used; the `reason` is `document_gone` if its host says that it is gone
   * @throws {TemporarilyUnavailableError} if it cannot be read at the moment
   */
  async fetch (clientId: string): Promise<FetchedDocument> {
    const { allowLoopback } = this.#options
    if (!isMetadataDocumentUrl(clientId, allowLoopback)) {
      throw refusal('the client_id is not the URL of a metadata document')
    }
    const url = new URL(clientId)
    this.#checkReachable(url)
    const ofHost = this.#fetchesOf.get(url.hostname) ?? 0
    if (this.#fetches >= MAX_FETCHES || ofHost >= MAX_FETCHES_OF_HOST) {
      throw outage(
        `${this.#fetches} documents are being read, ${ofHost} of them from ${url.hostname}`,
        undefined,
        BUSY_SECONDS
      )
    }
    this.#fetches++
    this.#fetchesOf.set(url.hostname, ofHost + 1)
    try {
      return await this.#fetch(clientId, url)
    } finally {
      this.#fetches--
      const left = (this.#fetchesOf.get(url.hostname) ?? 1) - 1
      if (left === 0) this.#fetchesOf.delete(url.hostname)
      else this.#fetchesOf.set(url.hostname, left)
    }
  }

  async #fetch (clientId: string, url: URL): Promise<FetchedDocument> {
    const { timeoutMs = 5000 } = this.#options
    const signal = AbortSignal.timeout(timeoutMs)
    const inTime = (error: unknown) => {
      if (signal.aborted) return outage(`${clientId} was not read within ${timeoutMs} ms`, error)
      const fails = findOutageOfConnection(error) === 'lasting' ? broken : outage
      return fails(`${clientId} cannot be read: ${String(error)}`, error)
    }
    const addresses = await this.#addresses(url, signal, inTime)
    const progress: Progress = { connected: false }
    let response: http.IncomingMessage | undefined
    try {
      response = await get(url, addresses, signal, progress).catch((error: unknown) => {
        const failure = inTime(error)
        // once connected, a failure is this document's own: others of the host are still fetched
        if (!progress.connected) this.#remember(url.host, failure)
        throw failure
      })
      checkStatus(clientId, response)
      const text = await readBody(response, this.#options.maxBytes ?? 5120 * 4)
        .catch((error: unknown) => { throw error instanceof InvalidClientError ? error : inTime(error) })
      return { document: parseDocument(clientId, text), maxAgeSeconds: parseMaxAge(response.headers['cache-control']) }
    } finally {
      // the rest of a refused response need not be read
      response?.destroy()
    }
  }

  /** The addresses of a host, if every one of them may be connected to. */
  async #addresses (url: URL, signal: AbortSignal, failure: (error: unknown) => OAuthError): Promise<Address[]> {
    const { allowLoopback, lookup = name => resolveName(name, allowLoopback) } = this.#options
    const host = bareHost(url)
    try {
      const addresses = isIP(host) === 0
        ? await untilAborted(lookup(host), signal).catch((error: unknown) => { throw failure(error) })
        : [{ address: host, family: isIP(host) }]
      if (addresses.length === 0) throw refusal(`${host} has no address`)
      for (const { address } of addresses) {
        const objection = objectionTo(address, url, allowLoopback)
        if (objection !== undefined) throw refusal(`${host} resolves to ${objection}`)
      }
      return addresses.map(({ address }) => ({ address, family: isIP(address) }))
    } catch (error) {
      if (error instanceof OAuthError && isIP(host) === 0) this.#remember(url.hostname, error)
      throw error
    }
  }

  #checkReachable (url: URL): void {
    const now = this.#now()
    for (const host of [url.hostname, url.host]) {
      const known = this.#unreachable.get(host)
      if (known !== undefined && now < known.until) throw known.error
    }
  }

  #remember (host: string, error: OAuthError): void {
    this.#unreachable.set(host, { until: this.#now() + UNREACHABLE_MS, error })
  }
}

/** What a status says: the client is gone, its host has an outage, or the response is not a document. */
function checkStatus (clientId: string, { statusCode = 0, headers }: http.IncomingMessage): void {
  const says = `${clientId} responds with status ${statusCode}`
  if (statusCode === 404 || statusCode === 410) throw gone(says)
  const outageOfHost = findOutageOfStatus(statusCode)
  if (outageOfHost !== undefined) throw outageOfHost === 'passing' ? outage(says) : broken(says)
  // redirects included: where they lead has not been checked, and the draft forbids following them
  if (statusCode !== 200) throw refusal(says)
  const type = headers['content-type'] ?? ''
  if (!/^application\/(?:[\w!#$&^.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw refusal(`${clientId} has the content type "${type}"`)
  }
}

function parseDocument (clientId: string, text: string): Record<string, unknown> {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    throw refusal(`${clientId} cannot be read: ${String(error)}`, error)
  }
  if (!isObject(document)) throw refusal(`${clientId} is not a JSON object`)
  if (document.client_id !== clientId) throw gone(`the document at ${clientId} names another client_id`)
  return document
}
