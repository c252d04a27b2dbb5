import type { JSONRPCNotification, ServerEvent } from '@modelcontextprotocol/server'
import type { Bus, BusMessages } from '../../stores/bus.js'
import type { Log } from '../../log.js'

const NOTIFICATIONS = {
  tools_list_changed: 'notifications/tools/list_changed',
  prompts_list_changed: 'notifications/prompts/list_changed',
  resources_list_changed: 'notifications/resources/list_changed',
  resource_updated: 'notifications/resources/updated'
} as const satisfies Record<ServerEvent['kind'], string>

/** The event that a notification announces; undefined if it concerns only its own client. */
function toServerEvent (
  { method, params }: Pick<JSONRPCNotification, 'method' | 'params'>
): ServerEvent | undefined {
  switch (method) {
    case NOTIFICATIONS.tools_list_changed:
      return { kind: 'tools_list_changed' }
    case NOTIFICATIONS.prompts_list_changed:
      return { kind: 'prompts_list_changed' }
    case NOTIFICATIONS.resources_list_changed:
      return { kind: 'resources_list_changed' }
    case NOTIFICATIONS.resource_updated:
      return typeof params?.uri === 'string' ? { kind: 'resource_updated', uri: params.uri } : undefined
  }
  return undefined
}

/** The instance that announces something, and the rule for its readers. */
export interface Announcer {
  era: 'legacy' | 'modern'
  /** Whose instance it is; undefined: it serves many persons. */
  person: string | undefined
  /** Whether `maySubscribe` decides about subscriptions: then updates go to all subscribers. */
  isGuarded?: boolean
  /** Whether even what concerns everybody is for this person only, as others are told by other instances. */
  isPersonal?: boolean
  /** The session that it serves, if it serves one. */
  sessionId?: string
}

/**
 * What replicas are told about a notification. A changed list concerns everybody. A changed resource concerns only the
 * person whose instance announces it, as its URI may be a secret.
 * @returns undefined if it concerns nobody
 */
function toAnnouncement (
  notification: Pick<JSONRPCNotification, 'method' | 'params'>,
  { era, person, isGuarded = false, isPersonal = false, sessionId }: Announcer
): BusMessages['announced'] | undefined {
  const event = toServerEvent(notification)
  if (event === undefined) return undefined
  const announcement = { event, era, ...sessionId !== undefined && { sessionId } }
  if (!isPersonal && (event.kind !== 'resource_updated' || isGuarded)) return announcement
  return person === undefined ? undefined : { ...announcement, person }
}

/** Notifies the clients that a notification concerns, of either era and on every replica. */
export function announce (
  bus: Bus,
  log: Log,
  notification: Pick<JSONRPCNotification, 'method' | 'params'>,
  announcer: Announcer
): void {
  const announcement = toAnnouncement(notification, announcer)
  if (announcement !== undefined) publish(bus, log, announcement)
}

/** Notifies all clients, of either era and on every replica. @param person by `personKey`: only those of this one */
export function announceToAll (bus: Bus, log: Log, event: ServerEvent, person?: string): void {
  publish(bus, log, { event, era: 'any', ...person !== undefined && { person } })
}

function publish (bus: Bus, log: Log, announcement: BusMessages['announced']): void {
  bus.publish('announced', announcement).catch((err: unknown) => {
    log.error({ err }, 'an announcement could not be passed on')
  })
}

/** The notification of an event. */
export function toNotification (event: ServerEvent): JSONRPCNotification {
  return {
    jsonrpc: '2.0',
    method: NOTIFICATIONS[event.kind],
    ...event.kind === 'resource_updated' && { params: { uri: event.uri } }
  }
}
