import type { ErrorOptionsWithDetail } from './service-error.js'

/**
 * What an error says that passes by itself: the time in its text is the time in `Retry-After`.
 * @param seconds whole seconds, at least 1
 * @returns the parameters of a `ServiceError`
 */
export function passesIn (
  seconds: number,
  message: string,
  options: ErrorOptionsWithDetail = {}
): [message: string, options: ErrorOptionsWithDetail] {
  return [`${message} Try again in ${toText(seconds)}.`, { ...options, retryAfterSeconds: seconds }]
}

function toText (seconds: number): string {
  const [count, unit] = seconds % 60 === 0 ? [seconds / 60, 'minute'] : [seconds, 'second']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}
