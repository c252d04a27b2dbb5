import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { bearer, newTokens, register } from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

/*
 * What is refused before it is awaited leaves no rejection that nobody handles: that ended the process. The runner
 * fails a test in which there is one.
 */
const MESSAGES = {
  ping: { jsonrpc: '2.0', id: 1, method: 'ping' },
  notification: { jsonrpc: '2.0', method: 'notifications/initialized' },
  response: { jsonrpc: '2.0', id: 1, result: {} },
  batch: [{ jsonrpc: '2.0', id: 1, method: 'ping' }],
  initialize: { jsonrpc: '2.0', id: 1, method: 'initialize' },
  nothing: {}
}

for (const mode of ['stateful', 'stateless']) {
  t.test(`headers and bodies that do not fit, ${mode}`, async t => {
    const target = await startTarget(t, { SESSION_MODE: mode })
    const { accessToken } = await newTokens(target, await register(target))
    for (const sessionId of [undefined, '', 'unknown', 'x'.repeat(5000)]) {
      for (const version of [undefined, '', '1999-01-01', '2025-11-25', '2026-07-28', 'x'.repeat(5000)]) {
        for (const [name, payload] of Object.entries(MESSAGES)) {
          for (const method of ['POST', 'GET', 'DELETE'] as const) {
            const { statusCode } = await target.app.inject({
              method,
              url: '/mcp',
              headers: {
                ...bearer(accessToken),
                accept: 'application/json, text/event-stream',
                ...method === 'POST' && { 'content-type': 'application/json' },
                ...sessionId !== undefined && { 'mcp-session-id': sessionId },
                ...version !== undefined && { 'mcp-protocol-version': version }
              },
              ...method === 'POST' && { payload }
            })
            if (statusCode >= 500) t.fail(`${method} ${name}, session ${sessionId}, version ${version}: ${statusCode}`)
          }
        }
      }
    }
    await setImmediate()
    t.pass('each has its answer')
  })
}
