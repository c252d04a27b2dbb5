import { join } from 'node:path'
import Fastify from 'fastify'
import { auditToFile } from '../../src/audit/sinks/file.js'
import { Metrics } from '../../src/observability/metrics.js'
import { mcpService } from '../../src/service/mcp-service.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { createServer } from '../../test/support/sample-server.js'
import { bearerAuthOptions, busyPeople, serve } from './served.js'

/*
 * The whole service in the mode `host`, over memory, with the metrics that it always has. Parameters: `plain`,
 * `policy`, `audit` or `both`; where its audit log goes; and the keys that its hashes are made with.
 */
const [variant = 'plain', folder = '', encryptionKeys = ''] = process.argv.slice(2)
const hasPolicy = variant === 'policy' || variant === 'both'
const hasAudit = variant === 'audit' || variant === 'both'
const issuer = 'https://login.example'
const { mcpObserver, brokerObserver, onAuditEvents } = new Metrics()

serve(async () => {
  const app = Fastify()
  await app.register(mcpService, {
    publicUrl: 'http://127.0.0.1',
    createServer,
    stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
    auth: {
      mode: 'host',
      authorizationServers: [issuer],
      verifyAccessToken: bearerAuthOptions.verifyAccessToken
    },
    limits: busyPeople,
    encryptionKeys,
    mcpObserver,
    observers: [brokerObserver],
    ...hasPolicy && {
      policy: {
        roles: {
          all: { tools: ['add', 'count*', '!countdown'], resources: ['*'], prompts: ['*'] },
          admin: { people: { subjects: ['person-0'] }, tools: ['*'] }
        }
      }
    },
    ...hasAudit && { audit: { sink: auditToFile(join(folder, 'audit.jsonl')), onEvents: onAuditEvents } }
  })
  return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
})
