import { hash } from 'node:crypto'
import Fastify from 'fastify'
import type { CallerInfo } from '../../src/caller.js'
import { InvalidTokenError } from '../../src/errors.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createSqliteStores } from '../../src/stores/sqlite/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { createServer } from '../../test/support/sample-server.js'
import { TOKENS, tokenOf } from '../tokens.js'
import { busyPeople, serve } from './served.js'

/*
 * The whole service in the mode `host`, over memory (without parameters) or over the SQLite file of the first
 * parameter. Tokens are looked up as the broker does it: every five seconds.
 */
const KNOWN_MS = 5000
const [file] = process.argv.slice(2)
const issuer = 'https://login.example'
const stores: Stores = file === undefined
  ? createMemoryStores({ sessionIdleSeconds: 3600 })
  : createSqliteStores({ file, sessionIdleSeconds: 3600 })
const known = new Map<string, { caller: CallerInfo, until: number }>()

async function verifyAccessToken (token: string): Promise<CallerInfo> {
  const key = hash('sha256', token, 'base64url')
  const before = known.get(key)
  if (before !== undefined && before.until > Date.now()) return before.caller
  const found = await stores.grants.findAccessToken(key)
  if (found === undefined) throw new InvalidTokenError('The access token is unknown.')
  const { clientId, subject, grantId } = found.grant
  const caller = { token, clientId, scopes: found.token.scopes, extra: { issuer, subject, grantId } }
  known.set(key, { caller, until: Date.now() + KNOWN_MS })
  return caller
}

/** What logins have left. */
async function addTokens (): Promise<void> {
  const expiresAt = Math.floor(Date.now() / 1000) + 3600
  for (let index = 0; index < TOKENS; index++) {
    const grantId = `grant-${index}`
    const grant = {
      grantId,
      clientId: `client-${index % 10}`,
      issuer,
      subject: `person-${index}`,
      claims: {},
      scopes: ['mcp'],
      resource: 'http://127.0.0.1/mcp',
      expiresAt,
      sealedUpstreamTokens: 'x'.repeat(2000),
      upstreamVersion: 0
    }
    const code = `code-${index}`
    await stores.grants.putCode(code, { grant, redirectUri: '', codeChallenge: '', expiresAt, used: false })
    const record = { grantId, scopes: ['mcp'], expiresAt }
    const access = { hash: hash('sha256', tokenOf(index), 'base64url'), record }
    await stores.grants.redeemCode(code, { access, sealedResponse: '' })
  }
}

serve(async () => {
  await addTokens()
  const app = Fastify()
  await app.register(mcpService, {
    publicUrl: 'http://127.0.0.1',
    createServer,
    stores,
    auth: { mode: 'host', authorizationServers: [issuer], verifyAccessToken },
    limits: busyPeople
  })
  return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
})
