import { createHash } from 'node:crypto'
import { routeOf, type FuzzedRoute } from './routes.js'
import type { RequestStep } from './steps.js'

/** Where each of several servers is, in one process. */
export const PLACES = { 'SDK 1.x': '/one', 'SDK 2.x': '/two', stdio: '/program' } as const
export type PlacedServer = keyof typeof PLACES

const DOCUMENTS = 'oauth-protected-resource|oauth-authorization-server|openid-configuration'
const ENDPOINT = new RegExp(String.raw`^(/\.well-known/(?:${DOCUMENTS}))?(/(?:mcp|sse|messages)(?![\w-]).*)$`, 's')
const ANY = Object.values(PLACES).join('|')
const PLACED = new RegExp(String.raw`^(/\.well-known/(?:${DOCUMENTS}))?(?:${ANY})(/.*)$`, 's')
/** One request of so many goes to the next server. */
const ELSEWHERE = 8

/** A path of a service with one server, as one of several has it. */
export function toPlace (target: string, place: string): string {
  return target.replace(ENDPOINT, (_all, document: string | undefined = '', rest: string) => document + place + rest)
}

/** A request to a service with one server, as one of several gets it; now and then the one next to it. */
export function toPlaced (step: RequestStep, server: PlacedServer): RequestStep {
  const [first = 0] = createHash('sha256').update(JSON.stringify(step)).digest()
  return { ...step, target: toPlace(step.target, PLACES[first % ELSEWHERE === 0 ? nextTo(server) : server]) }
}

export function nextTo (server: PlacedServer): PlacedServer {
  return server === 'SDK 1.x' ? 'SDK 2.x' : server === 'SDK 2.x' ? 'stdio' : 'SDK 1.x'
}

/** The route of a request to one of several. The origin itself is none of them. */
export function placedRouteOf (step: RequestStep): FuzzedRoute | undefined {
  const target = step.target.replace(PLACED, '$1$2')
  const isAtOrigin = target === step.target && routeOf(step)?.kind === 'mcp'
  return isAtOrigin ? undefined : routeOf({ ...step, target })
}
