import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Attempts } from '../../oauth/broker.js'
import type { LoginVisitRequest } from '../../stores/attempts.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a request to this route is to a login, for operators who look into one. */
    loginVisit?: LoginVisitRequest
  }
}

export interface LoginVisitsOptions {
  /** Absent: nothing is recorded. */
  attempts: Attempts | undefined
}

/** Records the requests that programs make to routes of this context with a `loginVisit`, for operators. */
export const loginVisits = fp<LoginVisitsOptions>(async (app, { attempts }) => {
  if (attempts === undefined) return
  app.addHook('onResponse', async (request, reply) => {
    const { loginVisit } = request.routeOptions.config
    if (loginVisit === undefined || request.method === 'HEAD') return
    attempts.visit({ request: loginVisit, status: reply.statusCode, ...describeProgram(request) })
  })
}, { name: 'fastify-mcp-oauth/login-visits', fastify: '5.x' })

/** Which program a request comes from, as far as HTTP shows it. */
export function describeProgram (request: FastifyRequest): { address: string, userAgent: string } {
  // the address of a connection that has closed in the meantime is unknown
  const { ip = '' }: { ip?: string } = request
  return { address: ip, userAgent: request.headers['user-agent'] ?? '' }
}
