import { setTimeout as delay } from 'node:timers/promises'
import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/client'
import { modernRequest } from '../../src/testing/modern-request.js'
import { objectOf, parseObject, valueAt } from '../support/json.js'
import { logInAt } from '../support/raw-session.js'
import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { startCluster } from './cluster.js'
import { countRuns } from './counting-server.js'

/*
 * Calls of 2026-07-28 that wait for input at a replica that stands still for longer than its lease, and continues
 * (SIGSTOP, SIGCONT). The clients bring the input to the other replica, before and after it stops, and do what they
 * are told.
 */
const { number } = scriptArguments('npx tsx test/replicas/slow-resumption.ts [--seconds 12] [--calls 40]')
const seconds = number('seconds')
const count = number('calls')
const STEADY_MS = 5000
const TRIES = 60
const CAPABILITIES = { [CLIENT_CAPABILITIES_META_KEY]: { elicitation: { form: {} } } }

const cluster = await startCluster({ entry: 'test/replicas/counting-replica' })
try {
  const report = new Report(`One of two replicas stands still for ${seconds} s; ${count} calls wait there for input`)
  const [survivor, slow] = cluster.replicas
  if (survivor === undefined || slow === undefined) throw new Error('There are no two replicas.')
  const { accessToken } = await logInAt(cluster.url)
  await delay(STEADY_MS)

  const send = async (url: string, call: string, more: object = {}) => {
    const request = modernRequest(1, 'tools/call', { name: 'confirm', arguments: { call }, ...more }, CAPABILITIES)
    const response = await fetch(`${url}/mcp`, {
      ...request,
      headers: { ...request.headers, authorization: `Bearer ${accessToken}` }
    })
    const last = (await response.text()).trimEnd().split('\n').at(-1) ?? ''
    return parseObject(last.replace(/^data: /, ''))
  }
  const ask = async (url: string, call: string) => {
    const asked = await send(url, call)
    const requests = Object.keys(objectOf(valueAt(asked, 'result', 'inputRequests')))
    return {
      requestState: valueAt(asked, 'result', 'requestState'),
      inputResponses: Object.fromEntries(requests.map(key => [key, { action: 'accept', content: {} }]))
    }
  }

  /** What clients are told: by it, how often. */
  const told = new Map<string, number>()
  /** Brings the input until there is a result, or nothing else to do. */
  const bring = async (call: string, first: object): Promise<string> => {
    let input = first
    for (let tries = 0; tries < TRIES; tries++) {
      const response = await send(survivor.url, call, input)
      const message = String(valueAt(response, 'error', 'message') ?? 'result')
      told.set(message, (told.get(message) ?? 0) + 1)
      if (message === 'result') return 'result'
      if (message.includes('etry it')) input = await ask(survivor.url, call)
      else if (!message.includes('Send the same request again')) return message
      await delay(500)
    }
    return 'gave up'
  }

  const calls = Array.from({ length: count }, (_, index) => `call-${index}`)
  const asked = await Promise.all(calls.map(async call => ({ call, input: await ask(slow.url, call) })))
  const stopAt = Math.floor(count / 4)
  const outcomes: Array<Promise<string>> = []
  for (const [index, { call, input }] of asked.entries()) {
    if (index === stopAt) slow.child.kill('SIGSTOP')
    outcomes.push(bring(call, input))
    // some of them come when it is known to stand still
    await delay(index < stopAt ? 30 : (seconds - 3) * 1000 / count)
  }
  await delay(3000)
  slow.child.kill('SIGCONT')
  const ends = await Promise.all(outcomes)
  // whatever else it does
  await delay(STEADY_MS)
  const runs = countRuns(cluster.runsFile)

  for (const [message, times] of told) report.figure(`told ${times} times`, message)
  const twice = [...runs.values()].filter(times => times > 1).length
  report.check(`0 calls had their effect twice (${twice})`, twice === 0)
  const results = ends.filter(end => end === 'result').length
  report.check(
    `every result is of a call that ran once (${results} results)`,
    calls.every((call, index) => ends[index] !== 'result' || runs.get(call) === 1)
  )
  report.check(
    `who got no result was told that it may have run (${count - results})`,
    ends.every(end => end === 'result' || end.includes('may have had its effect'))
  )
  report.end()
} finally {
  await cluster.close()
}
