import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { CallerInfo } from '../../src/caller.js'
import { InvalidTokenError } from '../../src/errors.js'
import type { BearerAuthOptions } from '../../src/plugins/mcp/bearer-auth.js'
import { answerCalls } from '../child.js'
import { TOKENS, tokenOf } from '../tokens.js'

/** Bytes of the server process, after garbage collection. */
export interface Memory { rss: number, heapUsed: number }

/** What a server process is asked. */
export type ServerCalls = {
  port: () => Promise<string>
  /** Microseconds of CPU that the process has used. */
  cpu: () => number
  memory: () => Promise<Memory>
}

const digest = (token: string) => createHash('sha256').update(token).digest('base64url')

const callers = new Map<string, CallerInfo>()
for (let index = 0; index < TOKENS; index++) {
  const token = tokenOf(index)
  callers.set(digest(token), {
    token,
    clientId: `client-${index % 10}`,
    scopes: ['mcp'],
    extra: { issuer: 'https://login.example', subject: `person-${index}`, grantId: `grant-${index}` }
  })
}

/** A few people make the calls of many. */
export const busyPeople = {
  toolCallsPerMinute: 0,
  maxRequestsInFlightPerPerson: 1000,
  maxInstancesPerPerson: 1000,
  maxStreamsPerPerson: 1000,
  maxOpenResponsesPerPerson: 4000
} as const

/** The caller of a token, as a store of hashed tokens knows it. Every server checks its bearer by this. */
export function callerOfToken (token: string): CallerInfo | undefined {
  return callers.get(digest(token))
}

/** The caller of an `Authorization` header. */
export function callerOfHeader (authorization: string | undefined): CallerInfo | undefined {
  return authorization?.startsWith('Bearer ') === true ? callerOfToken(authorization.slice(7)) : undefined
}

/** How servers with our plugins check it. */
export const bearerAuthOptions: BearerAuthOptions = {
  verifyAccessToken: async token => {
    const caller = callerOfToken(token)
    if (caller === undefined) throw new InvalidTokenError('The access token is unknown.')
    return caller
  },
  resourceMetadataUrl: () => 'http://127.0.0.1/.well-known/oauth-protected-resource/mcp',
  scopes: ['mcp']
}

/** Runs a server that `listen` starts on a free port of loopback. */
export function serve (listen: () => Promise<string>): void {
  const port = listen()
  answerCalls({
    port: () => port,
    cpu: () => {
      const { user, system } = process.cpuUsage()
      return user + system
    },
    memory: async () => {
      for (let round = 0; round < 6; round++) {
        // so thorough that V8 gives back what it has set free
        globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
        await delay(50)
      }
      const { rss, heapUsed } = process.memoryUsage()
      return { rss, heapUsed }
    }
  } satisfies ServerCalls)
}
