import type { CallerInfo } from '../../auth-info.js'

/** Names a person: who issued the subject, and the subject; whatever client, session, era or mode they come by. */
export function personKey ({ issuer, subject }: Pick<CallerInfo['extra'], 'issuer' | 'subject'>): string {
  return JSON.stringify([issuer, subject])
}
