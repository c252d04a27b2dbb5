import {
  classifyInboundRequest,
  PROTOCOL_VERSION_META_KEY,
  type JSONRPCMessage,
  type JSONRPCRequest
} from '@modelcontextprotocol/server'
import { isMessage, isRequest, parseMessages, toPostedMessages, type PostedMessages } from '../wire/messages.js'
import { isOfSessions } from '../wire/protocol-versions.js'
import { InvalidParamsError } from '../../errors.js'
import { isObject } from '../../members.js'
import type { InboundHeaders } from './lazy-request.js'

/** A POST of revision 2026-07-28, or one that its rules refuse. */
export interface ModernPost {
  kind: 'modern'
  /** Undefined if the body is a notification or not a message. */
  request: JSONRPCRequest | undefined
}

/** A POST of a revision with sessions. */
export interface LegacyPost extends PostedMessages {
  kind: 'legacy'
  /** Whether `MCP-Protocol-Version` is absent, or names one of these revisions. Does not matter for `initialize`. */
  hasKnownVersion: boolean
}

/** A POST without messages. */
export interface InvalidPost {
  kind: 'invalid'
  error: unknown
}

/**
 * Finds out what a POST is. For the era this is the SDK's own classification, so that the two never disagree; the SDK
 * is not asked if neither the body nor a header mentions a revision without sessions.
 */
export function classifyPost (headers: InboundHeaders, body: unknown): ModernPost | LegacyPost | InvalidPost {
  if (!isMessage(body)) return classifyInvalid(headers, body)
  if (isNegotiation(headers, body)) return { kind: 'legacy', ...toPostedMessages(body), hasKnownVersion: true }
  const hasKnownVersion = isOfSessions(headers['mcp-protocol-version'])
  const isPlain = hasKnownVersion && 'method' in body && body.params?._meta === undefined
  if (!isPlain && isModern(headers, body)) return { kind: 'modern', request: isRequest(body) ? body : undefined }
  return { kind: 'legacy', ...toPostedMessages(body), hasKnownVersion }
}

/** A batch is valid in one of the older revisions; the SDK decides which rules refuse everything else. */
function classifyInvalid (headers: InboundHeaders, body: unknown): ModernPost | LegacyPost | InvalidPost {
  const post = classifyLegacyPost(headers, body)
  if (body === undefined || (post.kind === 'invalid' && post.error instanceof InvalidParamsError)) return post
  return isModern(headers, body) ? { kind: 'modern', request: undefined } : post
}

/** Reads a POST to an endpoint that serves sessions only. */
export function classifyLegacyPost (headers: InboundHeaders, body: unknown): LegacyPost | InvalidPost {
  try {
    return {
      kind: 'legacy',
      ...parseMessages(body),
      hasKnownVersion: isOfSessions(headers['mcp-protocol-version'])
    }
  } catch (error) {
    return { kind: 'invalid', error }
  }
}

/**
 * Whether this is an `initialize` whose header names the revision that it asks for, whichever that is. Clients that
 * know a newer one send it so. The SDK would refuse them; but they are to learn which is spoken here, as without the
 * header.
 */
function isNegotiation (headers: InboundHeaders, body: JSONRPCMessage): boolean {
  const version = headers['mcp-protocol-version']
  return version !== undefined && 'method' in body && body.method === 'initialize' &&
    body.params?.protocolVersion === version && body.params._meta?.[PROTOCOL_VERSION_META_KEY] === undefined
}

function isModern (headers: InboundHeaders, body: unknown): boolean {
  if (isClaim(body)) return true
  const [protocolVersionHeader, mcpMethodHeader, mcpNameHeader] = ['mcp-protocol-version', 'mcp-method', 'mcp-name']
    .map(name => headers[name]?.toString())
  return classifyInboundRequest({
    httpMethod: 'POST',
    body,
    ...protocolVersionHeader !== undefined && { protocolVersionHeader },
    ...mcpMethodHeader !== undefined && { mcpMethodHeader },
    ...mcpNameHeader !== undefined && { mcpNameHeader }
  }).kind !== 'legacy'
}

/**
 * Whether a body is a message that claims this revision. The SDK never classifies one of these as legacy (except
 * `initialize`, which it examines), and its handler classifies it again.
 */
function isClaim (body: unknown): boolean {
  if (!isObject(body) || 'result' in body || 'error' in body) return false
  const { method, params } = body
  return typeof method === 'string' && method !== 'initialize' && isObject(params) && isObject(params._meta) &&
    PROTOCOL_VERSION_META_KEY in params._meta
}
