import { OAuthError } from '../errors.js'
import { toMessage } from './http-probe.js'

/** What a log would say of an error. */
export function toReason (error: unknown): string {
  return error instanceof OAuthError ? error.detail ?? error.message : toMessage(error)
}
