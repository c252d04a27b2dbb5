import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Attempts } from '../../oauth/broker.js'
import type { LoginVisitRequest } from '../../stores/attempts.js'

export interface VisitsOptions {
  /** Absent: nothing is written down. */
  attempts: Attempts | undefined
}

/** Writes down what programs ask of the routes of this context, for operators. */
export const loginVisits = fp<VisitsOptions>(async (app, { attempts }) => {
  if (attempts === undefined) return
  app.addHook('onResponse', async (request, reply) => {
    const kind = classifyVisit(request)
    if (kind !== undefined) attempts.visit({ request: kind, status: reply.statusCode, ...describeProgram(request) })
  })
}, { name: 'visits', fastify: '5.x' })

/** Who asks, as far as HTTP tells. */
export function describeProgram (request: FastifyRequest): { address: string, userAgent: string } {
  // the address of a connection that has closed meanwhile is not known
  const { ip = '' }: { ip?: string } = request
  return { address: ip, userAgent: request.headers['user-agent'] ?? '' }
}

function classifyVisit ({ method, routeOptions: { url = '' } }: FastifyRequest): LoginVisitRequest | undefined {
  if (method !== 'GET' && method !== 'POST') return undefined
  if (url.endsWith('/token')) return 'token'
  if (url.endsWith('/register')) return 'registration'
  if (url.includes('/.well-known/oauth-protected-resource')) return 'resource-metadata'
  return /\/\.well-known\/(oauth-authorization-server|openid-configuration)/.test(url) ? 'server-metadata' : undefined
}
