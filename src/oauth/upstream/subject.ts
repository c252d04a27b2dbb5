const MAX_LENGTH = 1024

/** The claim that names a person, unless the options name another. */
export const SUBJECT_CLAIM = 'sub'

/** Begins the subjects that we make up for people whom the upstream does not identify. */
export const UNNAMED_PREFIX = 'grant:'

/** Whether a subject came from the upstream. */
export function isNamed (subject: string): boolean {
  return !subject.startsWith(UNNAMED_PREFIX)
}

/**
 * The text that names a person, of what an authorization server says; undefined where it can name nobody. A number
 * is one if it is exact: beyond 2^53 two people would be the same.
 */
export function toSubject (value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : undefined
  if (typeof value !== 'string' || value.length > MAX_LENGTH) return undefined
  // our prefix is for persons without a name; control characters could begin a new line in a log or a header
  if (value.trim() === '' || /\p{Cc}/u.test(value) || value.startsWith(UNNAMED_PREFIX)) return undefined
  return value
}
