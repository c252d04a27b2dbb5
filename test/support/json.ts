import type * as z from 'zod'
import { isObject, getMember } from '../../src/members.js'

/**
 * Reads JSON that must be of a shape.
 * @throws {z.ZodError} that says where it is not
 */
export function parseJson<S extends z.ZodType> (text: string, schema: S): z.output<S> {
  return schema.parse(JSON.parse(text))
}

/**
 * A value that must be an object.
 * @throws {TypeError} where it is not: it shows what it is
 */
export function objectOf (value: unknown): Record<string, unknown> {
  if (!isObject(value)) throw new TypeError(`This is not an object: ${JSON.stringify(value)}`)
  return value
}

/** Reads JSON that must be an object. */
export function parseObject (text: string): Record<string, unknown> {
  return objectOf(JSON.parse(text))
}

/** What stands at a path within a value of any shape; undefined where there is nothing. */
export function valueAt (value: unknown, ...path: ReadonlyArray<string | number>): unknown {
  return path.reduce<unknown>((within, name) => getMember(within, String(name)), value)
}

/**
 * The text at a path within a value of any shape.
 * @throws {TypeError} where there is none: it shows what there is
 */
export function textAt (value: unknown, ...path: ReadonlyArray<string | number>): string {
  const found = valueAt(value, ...path)
  if (typeof found !== 'string') {
    throw new TypeError(`There is no text at ${path.join('.')} of ${JSON.stringify(value)}`)
  }
  return found
}
