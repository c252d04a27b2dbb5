import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { stillLasts } from '../../collections/still-lasts.js'
import { InvalidClientError, OAuthError } from '../../errors.js'
import { findOutageOfConnection, findOutageOfStatus } from '../../errors/outage.js'
import { request, type Progress } from './request.js'
import { Refusals, UNREACHABLE_SECONDS, type PublicJsonKind } from './refusals.js'
import { bareHost, objectionTo, type Address } from './public-addresses.js'
import { resolveName } from './resolve-name.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import { isObject } from '../../members.js'
import { isInternalName } from '../../outbound/internal-hosts.js'
import type { Proxy } from '../../outbound/proxy.js'

export interface PublicJsonOptions {
  /** Outside production: loopback addresses, and http there, are allowed. */
  allowLoopback: boolean
  /** The largest body that is read. */
  maxBytes?: number
  /** For all of it, from DNS to the last byte. */
  timeoutMs?: number
  /** For tests: resolves a name to all its addresses; none if the name does not exist. */
  lookup?: (hostname: string) => Promise<Address[]>
  now?: () => number
  /** The proxy to the internet. It resolves the names; those that are internal here are refused nevertheless. */
  proxy?: Proxy | undefined
}

export interface FetchedJson {
  value: Record<string, unknown>
  maxAgeSeconds: number
}

/** Fetches at once, in all and from one host. */
const MAX_FETCHES = 64
const MAX_FETCHES_OF_HOST = 4
/** How many hosts are remembered that could not be reached. */
const MAX_UNREACHABLE = 1000
// others are being fetched
const BUSY_SECONDS = 2
// behind a proxy, name servers need not respond
const LOOKUP_BEHIND_PROXY_MS = 1000

/** Rejects when the signal does: a DNS query cannot be aborted, only no longer waited for. */
function untilAborted<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    promise.then(resolve, reject)
  })
}

async function readBody (response: AsyncIterable<Buffer>, maxBytes: number, errors: Refusals): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response) {
    bytes += chunk.length
    if (bytes > maxBytes) throw errors.refusal(`the body is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (error) {
    throw errors.refusal(`the body cannot be read: ${String(error)}`, error)
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
 * Fetches JSON from URLs that strangers name: only from public addresses, a few at a time in all and from each host,
 * and not again at once from a host that could not be reached.
 */
export class PublicJsonFetcher {
  readonly #kind: PublicJsonKind
  readonly #options: PublicJsonOptions
  readonly #errors: Refusals
  readonly #now: () => number
  #fetches = 0
  readonly #fetchesOf = new Map<string, number>()
  /** Names that could not be resolved, and hosts with their port that could not be connected to. */
  readonly #unreachable = new BoundedMap<string, { until: number, error: OAuthError }>(MAX_UNREACHABLE)

  constructor (kind: PublicJsonKind, options: PublicJsonOptions) {
    this.#kind = kind
    this.#options = options
    this.#errors = new Refusals(kind)
    this.#now = options.now ?? Date.now
  }

  /**
   * Fetches an object.
   * @param address a URL that has been checked: https, or http on loopback
   * @throws {InvalidClientError} if it cannot be used; the `reason` is the kind's `gone` if its host says that there is
   * none
   * @throws {TemporarilyUnavailableError} if it cannot be read at the moment
   */
  async fetch (address: string): Promise<FetchedJson> {
    const url = new URL(address)
    this.#checkReachable(url)
    const ofHost = this.#fetchesOf.get(url.hostname) ?? 0
    if (this.#fetches >= MAX_FETCHES || ofHost >= MAX_FETCHES_OF_HOST) {
      throw this.#errors.outage(
        `${this.#fetches} documents are being read, ${ofHost} of them from ${url.hostname}`,
        undefined,
        BUSY_SECONDS
      )
    }
    this.#fetches++
    this.#fetchesOf.set(url.hostname, ofHost + 1)
    try {
      return await this.#fetch(address, url)
    } finally {
      this.#fetches--
      const left = (this.#fetchesOf.get(url.hostname) ?? 1) - 1
      if (left === 0) this.#fetchesOf.delete(url.hostname)
      else this.#fetchesOf.set(url.hostname, left)
    }
  }

  async #fetch (address: string, url: URL): Promise<FetchedJson> {
    const { timeoutMs = 5000, maxBytes = this.#kind.maxBytes } = this.#options
    const signal = AbortSignal.timeout(timeoutMs)
    const inTime = (error: unknown) => {
      if (signal.aborted) return this.#errors.outage(`${address} was not read within ${timeoutMs} ms`, error)
      const isLasting = findOutageOfConnection(error) === 'lasting'
      return this.#errors[isLasting ? 'broken' : 'outage'](`${address} cannot be read: ${String(error)}`, error)
    }
    const proxy = this.#options.proxy?.covers(url) === true ? this.#options.proxy : undefined
    const way = proxy ?? await this.#addresses(url, signal, inTime)
    if (proxy !== undefined) await this.#checkName(url)
    const progress: Progress = { connected: false }
    let response: IncomingMessage | undefined
    try {
      response = await request(url, way, signal, progress).catch((error: unknown) => {
        const failure = inTime(error)
        // once connected, a failure is this document's own: others of the host are still fetched
        if (!progress.connected) this.#remember(url.host, failure)
        throw failure
      })
      this.#checkStatus(address, response)
      const text = await readBody(response, maxBytes, this.#errors)
        .catch((error: unknown) => { throw error instanceof InvalidClientError ? error : inTime(error) })
      return { value: this.#parse(address, text), maxAgeSeconds: parseMaxAge(response.headers['cache-control']) }
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
      if (addresses.length === 0) throw this.#errors.broken(`${host} has no address`)
      for (const { address } of addresses) {
        const objection = objectionTo(address, url, allowLoopback)
        if (objection !== undefined) throw this.#errors.refusal(`${host} resolves to ${objection}`)
      }
      return addresses.map(({ address }) => ({ address, family: isIP(address) }))
    } catch (error) {
      if (error instanceof OAuthError && isIP(host) === 0) this.#remember(url.hostname, error)
      throw error
    }
  }

  /**
   * Refuses a host that is not for the internet, as far as its name or our name servers say so: those of a closed
   * network may know nothing. What the proxy resolves it to, only its certificate shows.
   */
  async #checkName (url: URL): Promise<void> {
    const { lookup = name => resolveName(name, false) } = this.#options
    const host = bareHost(url)
    if (isIP(host) === 0 && isInternalName(host)) throw this.#errors.refusal(`${host} is an internal name`)
    const addresses = isIP(host) === 0
      ? await untilAborted(lookup(host), AbortSignal.timeout(LOOKUP_BEHIND_PROXY_MS)).catch(() => [])
      : [{ address: host }]
    for (const { address } of addresses) {
      const objection = objectionTo(address, url, false)
      if (objection !== undefined) throw this.#errors.refusal(`${host} resolves to ${objection}`)
    }
  }

  /** What a status says: the client is gone, its host has an outage, or the response is not a document. */
  #checkStatus (address: string, { statusCode = 0, headers }: IncomingMessage): void {
    const says = `${address} responds with status ${statusCode}`
    if (statusCode === 404 || statusCode === 410) throw this.#errors.gone(says)
    const outage = findOutageOfStatus(statusCode)
    if (outage !== undefined) throw this.#errors[outage === 'passing' ? 'outage' : 'broken'](says)
    // redirects included: where they lead has not been checked, and the draft forbids following them
    if (statusCode !== 200) throw this.#errors.refusal(says)
    const type = headers['content-type'] ?? ''
    if (this.#kind.checkType && !/^application\/(?:[\w!#$&^.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
      throw this.#errors.refusal(`${address} has the content type "${type}"`)
    }
  }

  #parse (address: string, text: string): Record<string, unknown> {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw this.#errors.refusal(`${address} cannot be read: ${String(error)}`, error)
    }
    if (!isObject(value)) throw this.#errors.refusal(`${address} is not a JSON object`)
    return value
  }

  #checkReachable (url: URL): void {
    const now = this.#now()
    for (const host of [url.hostname, url.host]) {
      const known = this.#unreachable.get(host)
      if (known !== undefined && stillLasts(now, known.until, UNREACHABLE_SECONDS * 1000)) throw known.error
    }
  }

  #remember (host: string, error: OAuthError): void {
    this.#unreachable.set(host, { until: this.#now() + UNREACHABLE_SECONDS * 1000, error })
  }
}
