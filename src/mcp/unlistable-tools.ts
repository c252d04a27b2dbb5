import * as z from 'zod'
import type { Log } from '../log.js'
import { isObject } from '../members.js'
import type { CreateServer } from './create-server.js'

/*
 * What this is: a warning about a trap of SDK 1.x. If the schema of one tool cannot become JSON Schema (a date, a
 * bigint, a transform), its `McpServer` fails `tools/list` as a whole, without a word about which tool it was.
 * What it is not: a change of what `tools/list` says.
 * What breaks: if SDK 1.x keeps its tools elsewhere than in `_registeredTools`, nothing is found.
 * Delete it when servers of SDK 1.x are no longer taken, or its `tools/list` leaves such a tool out.
 */
const MAX_NAMES = 1000

/** The tools that were examined, by the factory: each name once in a process. */
const examined = new WeakMap<CreateServer, Set<string>>()

/** Logs which tools of a new server cannot be listed, each once for a factory. Costs a look at each name otherwise. */
export function warnOfUnlistableTools (server: object, createServer: CreateServer, log: Log): void {
  const tools: unknown = '_registeredTools' in server ? server._registeredTools : undefined
  if (!isObject(tools)) return
  let names = examined.get(createServer)
  if (names === undefined) examined.set(createServer, names = new Set())
  for (const name in tools) {
    if (names.has(name) || names.size >= MAX_NAMES) continue
    names.add(name)
    const reason = findFault(tools[name])
    if (reason === undefined) continue
    log.warn(
      { tool: name, reason },
      `the schema of the tool ${JSON.stringify(name)} cannot become JSON Schema, so tools/list fails, ` +
        'and clients see none of the tools of this server'
    )
  }
}

/** Why a tool cannot be listed; undefined if it can. */
function findFault (tool: unknown): string | undefined {
  if (!isObject(tool)) return undefined
  for (const [schema, io] of [[tool.inputSchema, 'input'], [tool.outputSchema, 'output']] as const) {
    // of zod 3, whatever cannot be converted becomes a schema that takes anything
    if (!(schema instanceof z.core.$ZodType)) continue
    try {
      z.toJSONSchema(schema, { target: 'draft-7', io })
    } catch (error) {
      return `${io}: ${error instanceof Error ? error.message : String(error)}`
    }
  }
  return undefined
}
