import http from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { isIP } from 'node:net'
import { isLocalhostName, isLoopbackAddress } from '../loopback.js'

/**
 * The proxy that a network demands for requests to the internet (`HTTPS_PROXY`, `NO_PROXY`).
 * @example
 * ```ts
 * import type { ProxyOptions } from 'fastify-mcp-oauth'
 *
 * export const proxy: ProxyOptions = { url: 'http://proxy.example.com:3128', except: ['.example.com'] }
 * ```
 */
export interface ProxyOptions {
  /** Its http or https URL, with a user and password if it needs them. */
  url: string
  /** Hosts that are reached without it: names, and with a leading dot or `*.` all names under one; `*`: all. */
  except?: readonly string[]
}

/** An http proxy that tunnels https requests (RFC 9110 9.3.6). It resolves the names. */
export class Proxy {
  readonly #url: URL
  readonly #except: readonly string[]

  constructor ({ url, except = [] }: ProxyOptions) {
    this.#url = new URL(url)
    this.#except = except.map(host => host.toLowerCase())
  }

  /** Whether requests to a URL go through it: never those by plain http, or to this machine. */
  covers (url: URL): boolean {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
    if (url.protocol !== 'https:' || isLocalhostName(host) || isLoopbackAddress(host)) return false
    const port = url.port === '' ? '443' : url.port
    return !this.#except.some(exception => matches(exception, host, port))
  }

  /**
   * Opens a connection to the host of an https URL, and secures it: the certificate is checked against the host.
   * @throws {Error} if the proxy cannot be reached, or refuses
   */
  async connect (url: URL, signal: AbortSignal): Promise<TLSSocket> {
    const socket = await this.#tunnel(url, signal)
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    return await new Promise((resolve, reject) => {
      const secured = connectTls({ socket, host, servername: isIP(host) === 0 ? host : '' })
      const abort = () => { secured.destroy(new Error('the request was aborted')) }
      signal.addEventListener('abort', abort, { once: true })
      secured.once('secureConnect', () => {
        signal.removeEventListener('abort', abort)
        secured.off('error', reject)
        resolve(secured)
      })
      secured.once('error', reject)
      secured.once('close', () => { reject(new Error('the connection was closed by the proxy or the host')) })
    })
  }

  #tunnel ({ hostname, port }: URL, signal: AbortSignal): Promise<Duplex> {
    const { protocol, username, password } = this.#url
    const target = `${hostname}:${port === '' ? '443' : port}`
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    const request = (protocol === 'https:' ? https : http).request(this.#url, {
      method: 'CONNECT',
      path: target,
      agent: false,
      signal,
      headers: {
        host: target,
        ...username !== '' && { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }
      }
    })
    return new Promise((resolve, reject) => {
      const refuse = (status = 0) => {
        reject(new Error(`the proxy responds with status ${status} to CONNECT ${target}`))
      }
      request.once('connect', (response, socket) => {
        if (response.statusCode === 200) return resolve(socket)
        socket.destroy()
        refuse(response.statusCode)
      })
      request.once('response', response => {
        response.destroy()
        refuse(response.statusCode)
      })
      request.once('error', error => { reject(new Error('the proxy cannot be reached', { cause: error })) })
      request.end()
    })
  }
}

/** Whether an entry of `NO_PROXY` names a host: `example.com` and `.example.com` name all under it, too. */
function matches (exception: string, host: string, port: string): boolean {
  if (exception === '*') return true
  const [, name = '', onlyPort] = /^(.*?)(?::(\d+))?$/.exec(isIP(exception) === 6 ? `[${exception}]` : exception) ?? []
  if (onlyPort !== undefined && onlyPort !== port) return false
  const bare = name.replace(/^\*?\./, '').replace(/^\[(.*)\]$/, '$1')
  return bare !== '' && (host === bare || host.endsWith(`.${bare}`))
}
