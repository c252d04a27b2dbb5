import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { CompactEncrypt, compactDecrypt } from 'jose'
import type { CallerInfo } from '../../caller.js'
import { parseRecord } from '../../parse-record.js'
import type { SessionRecord } from '../../stores/sessions.js'
import type { InboundHttp } from '../observer.js'
import type { OwnedExtra } from '../transport/message-extra.js'
import { parseMessages, type PostedMessages } from '../wire/messages.js'

/** What a client has posted, on its way to the replica where its session runs. */
export interface HandedPost {
  handOverId: string
  kind: SessionRecord['kind']
  sessionId: string
  /** Who makes the request, by its own token. */
  caller: CallerInfo
  headers: Record<string, string | string[] | undefined>
  /** The parsed body. */
  body: unknown
  /** The HTTP request that it came with. */
  http?: HandedHttp
  /** The stream of the event log that takes the responses; absent on HTTP+SSE, and if there are no requests. */
  streamId?: string
}

/** What is told of an HTTP request elsewhere. */
type HandedHttp = Omit<InboundHttp, 'mcpOutcome'>

/** A post to a session, as it arrived. */
export interface ArrivedPost {
  sessionId: string
  /** As it was parsed. */
  body: unknown
  /** The messages in it. */
  posted: PostedMessages
  extra: OwnedExtra
}

/** The post as it is handed over. @param streamId of the event log that takes the responses */
export function toHandedPost (
  kind: HandedPost['kind'],
  { sessionId, body, extra: { authInfo: caller, http, requestInfo } }: ArrivedPost,
  streamId?: string
): Omit<HandedPost, 'handOverId'> {
  return {
    kind,
    sessionId,
    caller,
    headers: requestInfo?.headers ?? {},
    body,
    ...http !== undefined && { http: toHandedHttp(http) },
    ...streamId !== undefined && { streamId }
  }
}

/** The post as it arrived elsewhere. @throws {InvalidMessageError} */
export function toArrivedPost ({ sessionId, caller, headers, body, http }: HandedPost): ArrivedPost {
  const extra = { authInfo: caller, requestInfo: { headers }, ...http !== undefined && { http } }
  return { sessionId, body, posted: parseMessages(body), extra }
}

function toHandedHttp ({ id, ip, bodyBytes, mcpServer, mcpTraceId }: InboundHttp): HandedHttp {
  return {
    id,
    ip,
    bodyBytes,
    ...mcpServer !== undefined && { mcpServer },
    ...mcpTraceId !== undefined && { mcpTraceId }
  }
}

/** JSON has no URLs. */
interface StoredPost extends Omit<HandedPost, 'caller'> {
  caller: Omit<CallerInfo, 'resource'> & { resource?: string }
}

/**
 * Seals posts on their way: they contain the access token and the client's data, and the store keeps messages between
 * replicas for a while (JWE with a shared key: RFC 7516, `dir`, A256GCM).
 */
export class HandedPostSeal {
  readonly #keys: ReadonlyMap<string, Uint8Array>
  readonly #first: string

  /** @param keys the first seals, all open; the same on every replica. Default: a random one of this process */
  constructor (keys: readonly Uint8Array[] = [randomBytes(32)]) {
    const derived = keys.map((key): [string, Uint8Array] => {
      const sealing = new Uint8Array(hkdfSync('sha256', key, '', 'fastify-mcp-oauth hand-over', 32))
      return [createHash('sha256').update(sealing).digest('base64url').slice(0, 16), sealing]
    })
    this.#keys = new Map(derived)
    this.#first = derived[0]?.[0] ?? ''
  }

  async seal (text: string): Promise<string> {
    return await new CompactEncrypt(new TextEncoder().encode(text))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: this.#first })
      .encrypt(this.#find(this.#first))
  }

  /** @throws {Error} (rejects) if it was altered, or sealed with a key that this replica does not have */
  async open (sealed: string): Promise<HandedPost> {
    const { plaintext } = await compactDecrypt(sealed, ({ kid = '' }) => this.#find(kid), {
      keyManagementAlgorithms: ['dir'],
      contentEncryptionAlgorithms: ['A256GCM']
    })
    const { caller: { resource, ...caller }, ...post } = parseRecord<StoredPost>(new TextDecoder().decode(plaintext))
    return { ...post, caller: { ...caller, ...resource !== undefined && { resource: new URL(resource) } } }
  }

  #find (kid: string): Uint8Array {
    const key = this.#keys.get(kid)
    if (key === undefined) {
      throw new Error('It is sealed with a key of another replica: all replicas need the same `requestStateKeys`.')
    }
    return key
  }
}
