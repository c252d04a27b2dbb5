import { createHmac } from 'node:crypto'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { getMember } from '../members.js'
import type { AuditEvent } from './event.js'

/**
 * An argument of a tool, or of a prompt, that is recorded: as it is, or as a keyed hash, which shows that two are the
 * same and no more.
 * @example
 * ```ts
 * import type { AuditedArgument } from 'fastify-mcp-oauth'
 *
 * export const recorded: AuditedArgument[] = [
 *   { tool: 'search', argument: 'query', as: 'hash' },
 *   { tool: 'open_issue', argument: 'repository', as: 'value' }
 * ]
 * ```
 */
export interface AuditedArgument {
  /** Name of the tool or prompt. */
  tool: string
  /** Name of the argument. */
  argument: string
  /** As it is, or as a keyed hash. */
  as: 'value' | 'hash'
}

type Recorded = NonNullable<NonNullable<AuditEvent['mcp']>['arguments']>

const MAX_VALUE = 1024

/** Takes from calls the arguments that the operator has named, and no others. */
export class RecordedArguments {
  readonly #byTool: ReadonlyMap<string, readonly AuditedArgument[]>
  readonly #key: Uint8Array

  constructor (audited: readonly AuditedArgument[], key: Uint8Array) {
    const tools = new Set(audited.map(({ tool }) => tool))
    this.#byTool = new Map([...tools].map(name => [name, audited.filter(({ tool }) => tool === name)]))
    this.#key = key
  }

  /** @returns JSON text of those of a request; undefined if none is recorded */
  of ({ params }: JSONRPCRequest): string | undefined {
    const tool = params?.name
    const wanted = typeof tool === 'string' ? this.#byTool.get(tool) : undefined
    if (wanted === undefined) return undefined
    const recorded: Recorded = wanted.flatMap(({ argument: name, as }) => {
      const value = getMember(params?.arguments, name)
      return value === undefined ? [] : [{ name, ...this.#record(JSON.stringify(value), as) }]
    })
    return JSON.stringify(recorded)
  }

  #record (text: string, as: AuditedArgument['as']): { value: string } | { hmac: string } {
    return as === 'hash'
      ? { hmac: createHmac('sha256', this.#key).update(text).digest('hex') }
      : { value: text.slice(0, MAX_VALUE) }
  }
}
