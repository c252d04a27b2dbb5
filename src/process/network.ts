import { connect } from 'node:net'
import { lookup } from 'node:dns/promises'
import { Proxy, type ProxyOptions } from '../outbound/proxy.js'

/** A host of client metadata documents. Nothing is asked of it: only a connection is opened. */
const HOST = new URL('https://vscode.dev')
const TIMEOUT_MS = 3000

/**
 * Whether the internet can be reached, as far as a connection to one host shows it.
 * @returns why not, in a few words
 */
export async function findNetworkFault (proxy: ProxyOptions | undefined, host = HOST): Promise<string | undefined> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  const way = proxy && new Proxy(proxy)
  try {
    if (way?.covers(host) === true) (await way.connect(host, signal)).destroy()
    else await open(host, signal)
    return undefined
  } catch (error) {
    return signal.aborted ? `no response in ${TIMEOUT_MS / 1000} s` : describe(error)
  }
}

async function open ({ hostname, port }: URL, signal: AbortSignal): Promise<void> {
  const found = lookup(hostname)
  // a lookup cannot be aborted, only no longer waited for
  found.catch(() => {})
  const { address } = await Promise.race([found, aborted(signal)])
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: address, port: port === '' ? 443 : Number(port), signal })
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}

async function aborted (signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(new Error('aborted')) }, { once: true })
  })
}

function describe (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
