/** Whether a value of unknown shape is an object with named members: neither null nor an array. */
export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The own member of a value of unknown shape; undefined if it has none of that name. */
export function getMember (value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined
}

/** Defaults, with what is given in their place. What is given as undefined is not given. */
export function withDefaults<T extends object> (defaults: T, given: Partial<T> = {}): T {
  return { ...defaults, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
}
