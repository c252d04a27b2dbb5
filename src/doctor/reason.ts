import { OAuthError } from '../errors.js'
import { messageOf } from './http-probe.js'

/** What a log would say of an error. */
export function reasonOf (error: unknown): string {
  return error instanceof OAuthError ? error.detail ?? error.message : messageOf(error)
}
