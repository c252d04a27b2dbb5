import { Type } from '@sinclair/typebox'
import { MAX_LIFETIME_SECONDS } from '../../validation/values.js'

/*
 * Kinds of environment variables.
 */

export const text = (description: string, options: { default?: string } = {}) =>
  Type.String({ description, ...options })

export const limit = (description: string, fallback: number, options: { minimum?: number, maximum?: number } = {}) =>
  Type.Integer({ description, default: fallback, minimum: 1, maximum: Number.MAX_SAFE_INTEGER, ...options })

export const seconds = (description: string, fallback: number, options: { maximum?: number } = {}) =>
  limit(`${description}, in seconds`, fallback, { maximum: MAX_LIFETIME_SECONDS, ...options })

export const milliseconds = (description: string, fallback: number, maximum: number) =>
  limit(`${description}, in milliseconds`, fallback, { maximum })

export const port = (description: string, options: { default?: number } = {}) =>
  Type.Integer({ description, minimum: 0, maximum: 65535, ...options })

export const choice = <T extends string>(description: string, fallback: T, values: T[]) =>
  Type.Union(values.map(value => Type.Literal(value)), { description, default: fallback })

/** Without a default: what is not set may come from elsewhere. */
export const optionalChoice = <T extends string>(description: string, values: readonly T[]) =>
  Type.Optional(Type.Union(values.map(value => Type.Literal(value)), { description }))

export const list = (description: string, fallback: readonly string[] = []) =>
  text(`${description} (comma-separated)`, { default: fallback.join(',') })

export const flag = (description: string, fallback: boolean) => Type.Boolean({ description, default: fallback })
