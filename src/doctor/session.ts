import { adviseOnOutage } from './advice.js'
import { ACCEPT_BOTH, INITIALIZE } from './challenge.js'
import { toMessage, send, watch, type Reply } from './http-probe.js'
import type { Findings } from './findings.js'
import { saidBy } from './registration.js'
import { REVISION_2025_11_25 } from '../mcp/wire/protocol-versions.js'

export interface SessionOptions {
  accessToken: string
  /** How long a stream is watched. */
  streamSeconds: number
}

const CALLS = 8
const SILENCE_MS = 5000
const SHARE = 'Give all replicas the same REDIS_URL and ENCRYPTION_KEYS; without Redis there can be only one.'

/** Opens a session and uses it as clients do. Each request has its own connection, so that it may reach any replica. */
export async function examineSession (
  mcpUrl: URL,
  { accessToken, streamSeconds }: SessionOptions,
  findings: Findings
): Promise<void> {
  const authorization = `Bearer ${accessToken}`
  const call = async (body: unknown, headers: Record<string, string> = {}) =>
    await send(mcpUrl, { method: 'POST', headers: { ...ACCEPT_BOTH, authorization, ...headers }, body })
  try {
    const begun = await call(INITIALIZE)
    const sessionId = begun.headers['mcp-session-id']
    if (begun.status !== 200) {
      if (begun.status === 403 && !String(begun.headers['www-authenticate']).includes('insufficient_scope')) {
        findings.fail(
          'host',
          `a call with a good token is refused: ${saidBy(begun.body)}`,
          'Let the proxy pass Host on as it is, or add the name it uses to ALLOWED_HOSTS.'
        )
      } else {
        findings.fail(
          'session',
          `initialize was answered ${begun.status}: ${saidBy(begun.body)}`,
          begun.status === 401 ? SHARE : adviseOnOutage(begun.status) ?? 'The log of the service says why.'
        )
      }
      return
    }
    await examineOrigins(call, mcpUrl, findings)
    if (typeof sessionId !== 'string') {
      findings.ok('session', 'the service runs without sessions (SESSION_MODE=stateless)')
      return
    }
    const session = { 'mcp-session-id': sessionId, 'mcp-protocol-version': REVISION_2025_11_25 }
    await call({ jsonrpc: '2.0', method: 'notifications/initialized' }, session)
    if (await staysAlive(call, session, findings)) {
      await examineStream(mcpUrl, { ...session, authorization }, streamSeconds, findings)
    }
    await send(mcpUrl, { method: 'DELETE', headers: { ...session, authorization } })
  } catch (error) {
    findings.fail(
      'session',
      `a session could not be used: ${toMessage(error)}`,
      'The log of the service, or of the proxy, says why.'
    )
  }
}

/** Whether every one of several requests in a session is answered. */
async function staysAlive (
  call: (body: unknown, headers: Record<string, string>) => Promise<Reply>,
  session: Record<string, string>,
  findings: Findings
): Promise<boolean> {
  for (let id = 2; id < CALLS + 2; id++) {
    const reply = await call({ jsonrpc: '2.0', id, method: 'ping' }, session)
    if (reply.status === 200) continue
    const nth = `call ${id - 1} of ${CALLS} in a session`
    if (reply.status === 404) {
      findings.fail(
        'session',
        `${nth} was answered 404: the session is lost on the way, so it reached a replica that does not know it`,
        SHARE
      )
    } else if (reply.status === 401) {
      findings.fail(
        'session',
        `${nth} was answered 401, though the token is good: it reached a replica that does not know it`,
        SHARE
      )
    } else {
      findings.fail(
        'session',
        `${nth} was answered ${reply.status}: ${saidBy(reply.body)}`,
        adviseOnOutage(reply.status) ?? 'The log of the service says why.'
      )
    }
    return false
  }
  findings.ok('session', `${CALLS} calls on as many connections`)
  return true
}

async function examineStream (
  mcpUrl: URL,
  headers: Record<string, string>,
  seconds: number,
  findings: Findings
): Promise<void> {
  const { status, headers: { 'content-encoding': encoding }, firstByteMs, endedMs, later } = await watch(mcpUrl, {
    ...headers,
    accept: 'text/event-stream'
  }, { silenceMs: SILENCE_MS, ms: seconds * 1000 })
  if (status !== 200 && status !== 0) {
    findings.fail(
      'stream',
      `GET for a stream was answered ${status}`,
      adviseOnOutage(status) ?? 'Let the proxy pass GET on to the MCP endpoint.'
    )
  } else if (firstByteMs === undefined) {
    findings.fail(
      'stream',
      `no byte of a stream arrived within ${SILENCE_MS / 1000} s, though the service sends the first ones at once: ` +
        'something on the way buffers it',
      'Switch buffering off for the MCP endpoint (nginx: proxy_buffering off).'
    )
  } else if (endedMs !== undefined) {
    findings.fail(
      'stream',
      `the stream was cut after ${(endedMs / 1000).toFixed(1)} s`,
      'Raise the idle and read timeouts of the proxy above STREAM_HEARTBEAT_SECONDS.'
    )
  } else if (encoding !== undefined) {
    findings.warn(
      'stream',
      `streams come compressed (${encoding}), which holds events back until a block is full`,
      'Switch compression off for text/event-stream.'
    )
  } else {
    findings.ok('stream', `first byte after ${firstByteMs} ms, ${later} more pieces in ${seconds} s, not cut`)
  }
}

/** Whether a foreign Host or Origin is refused (DNS rebinding; MCP 2025-11-25 Transports, Security Warning). */
async function examineOrigins (
  call: (body: unknown, headers: Record<string, string>) => Promise<Reply>,
  mcpUrl: URL,
  findings: Findings
): Promise<void> {
  const byOrigin = await call({ jsonrpc: '2.0', id: 1, method: 'ping' }, { origin: 'https://doctor.invalid' })
  const unwell = adviseOnOutage(byOrigin.status)
  if (unwell !== undefined) {
    findings.warn('origin', `calls are answered ${byOrigin.status}, so origins and hosts were not looked at`, unwell)
    return
  }
  if (byOrigin.status === 403) findings.ok('origin', 'pages of other origins are refused')
  else {
    findings.fail(
      'origin',
      `a page of any origin may call: one of https://doctor.invalid was answered ${byOrigin.status}`,
      'Name the origins in ALLOWED_ORIGINS instead of *, and let the proxy pass Origin on.'
    )
  }
  const byHost = await call(INITIALIZE, { host: 'doctor.invalid' })
  if (byHost.status >= 400) findings.ok('host', `another Host than ${mcpUrl.host} is refused`)
  else {
    findings.fail(
      'host',
      `the service answers to any Host: doctor.invalid was answered ${byHost.status}`,
      'Let the proxy refuse names that are not yours, or pass Host on, and name them in ALLOWED_HOSTS instead of *.'
    )
  }
}
