import { getMember } from '../members.js'

/** W3C Trace Context and Baggage, as a message carries them. */
export interface TraceContext {
  traceparent?: string
  tracestate?: string
  baggage?: string
}

const NAMES = ['traceparent', 'tracestate', 'baggage'] as const

/** The trace that the `_meta` of a message names (MCP 2026-07-28, SEP-414). */
export function readTraceContext (message: unknown): TraceContext {
  const meta = getMember(getMember(message, 'params'), '_meta')
  const found: TraceContext = {}
  for (const name of NAMES) {
    const value = getMember(meta, name)
    if (typeof value === 'string') found[name] = value
  }
  return found
}
