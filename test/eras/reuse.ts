import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { FAST_PATH } from '../../src/mcp/modern/fast-path/fast-path.js'
import { isFastPathShut } from '../support/fast-path-door.js'
import { parseObject, textAt } from '../support/json.js'
import { startMcp, type McpService } from '../support/mcp-harness.js'
import { request, type RawOptions } from '../support/raw-http.js'

/** The result of a tool: a value as JSON. */
export const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: JSON.stringify(value) }] })
/** The value in the result of a tool. */
export const jsonOf = (result: unknown) => parseObject(textAt(result, 'content', 0, 'text'))

/** The instance that a response names, which may be a stream. */
export const instanceIn = (body: string) => Number(/\\"instance\\":(\d+)/.exec(body)?.[1])

/** A client that says its name. */
export const named = (name: string) => ({ meta: { 'io.modelcontextprotocol/clientInfo': { name, version: '1' } } })
export const alice: RawOptions = { token: 'alice', ...named('client of alice') }
export const bob: RawOptions = { token: 'bob', ...named('client of bob') }

/** The parameters of a call. */
export const call = (name: string) => ({ name, arguments: {} })

/** What a tool responds. */
export async function said (url: string, name: string, options: RawOptions): Promise<Record<string, unknown>> {
  const { result } = await request(url, 'tools/call', call(name), options)
  return jsonOf(result)
}

/** How a service with `reuseInstances` runs: with the fast path, which reuses instances, or without it. */
export class Door {
  readonly isOpen: boolean
  readonly #served = new Set<unknown>()

  constructor (isOpen: boolean) {
    this.isOpen = isOpen
  }

  async start (t: Test, createServer: CreateServer): Promise<McpService> {
    // if the whole process runs without it, that must be enough
    const shut = !this.isOpen && !isFastPathShut ? { [FAST_PATH]: false } : {}
    return await startMcp(t, Object.assign({ createServer, reuseInstances: true }, shut))
  }

  /** Open: a request was served by the instance that is expected. Shut: by one that has served no other request. */
  served (t: Test, instance: unknown, expected: number, message = 'the instance'): void {
    t.ok(Number.isInteger(instance))
    if (this.isOpen) t.equal(instance, expected, message)
    else t.notOk(this.#served.has(instance), `${message}: ${String(instance)} serves one request`)
    this.#served.add(instance)
  }
}

/** Runs a test with the fast path and without it. */
export function throughEachDoor (name: string, test: (t: Test, door: Door) => Promise<void>): void {
  for (const isOpen of isFastPathShut ? [false] : [true, false]) {
    t.test(`${name}; fast path ${isOpen ? 'open' : 'shut'}`, t => test(t, new Door(isOpen)))
  }
}
