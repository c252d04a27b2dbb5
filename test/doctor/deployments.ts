import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import { once } from 'node:events'
import type { Test } from 'tap'
import type { UpstreamSettings } from '../../src/oauth/upstream-settings.js'
import { examineDeployment, examineInside, type DeploymentOptions } from '../../src/doctor/examine.js'
import { Findings, type Finding } from '../../src/doctor/findings.js'
import { Browser, logIn } from '../support/browser.js'

/** What a proxy does to the answers that it passes on. */
export interface Meddling {
  /** Where each request goes, in turn. */
  targets: readonly string[]
  headers?: (headers: IncomingHttpHeaders) => IncomingHttpHeaders
  /** Holds every answer back until it is whole. */
  buffered?: boolean
  /** Ends a stream after so long. */
  cutAfterMs?: number
  tls?: ServerOptions
  port?: number
}

/** A proxy on loopback; ends with the test. @returns its origin */
export async function proxy (
  t: Test,
  { targets, headers = same, buffered = false, cutAfterMs, tls, port = 0 }: Meddling
): Promise<string> {
  let turn = 0
  const pass = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const target = new URL(incoming.url ?? '/', targets[turn++ % targets.length])
    const passed = request(target, { method: incoming.method, agent: false, headers: incoming.headers }, answer => {
      const head = () => { outgoing.writeHead(answer.statusCode ?? 502, headers(answer.headers)) }
      if (buffered) {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => { chunks.push(chunk) })
        answer.on('end', () => { head(); outgoing.end(Buffer.concat(chunks)) })
      } else {
        head()
        answer.pipe(outgoing)
        if (cutAfterMs !== undefined && answer.headers['content-type'] === 'text/event-stream') {
          setTimeout(() => {
            outgoing.end()
          }, cutAfterMs)
        }
      }
    })
    passed.on('error', () => { outgoing.destroy() })
    outgoing.on('close', () => { passed.destroy() })
    incoming.pipe(passed)
  }
  const server = tls === undefined ? createServer(pass) : createTlsServer(tls, pass)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  return `${tls === undefined ? 'http' : 'https'}://localhost:${typeof address === 'object' ? address?.port : ''}`
}

const same = (headers: IncomingHttpHeaders) => headers

/** Has alice log in wherever the doctor asks for it. */
export const open = (url: string): void => { void logIn(new Browser(), url) }

/** What the doctor finds from outside. */
export async function outside (origin: string, options: Partial<DeploymentOptions> = {}): Promise<Finding[]> {
  const findings = new Findings()
  await examineDeployment({ mcpUrl: new URL(`${origin}/mcp`), origins: [], streamSeconds: 0.3, ...options }, findings)
  return findings.all
}

/** What the doctor finds from inside. */
export async function inside (
  upstream: UpstreamSettings,
  options: Partial<DeploymentOptions> = {}
): Promise<Finding[]> {
  const findings = new Findings()
  const publicUrl = 'http://localhost:5050'
  await examineInside({ publicUrl, upstream }, {
    mcpUrl: new URL(`${publicUrl}/mcp`),
    origins: [],
    streamSeconds: 0.3,
    ...options
  }, findings)
  return findings.all
}

/** The checks that found something broken or doubtful. */
export const faults = (
  findings: readonly Finding[]
): string[] => [...new Set(findings.filter(({ level }) => level !== 'ok').map(({ check }) => check))]
