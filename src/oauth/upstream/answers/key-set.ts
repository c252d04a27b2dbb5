import type { JSONWebKeySet } from 'jose'
import { isObject } from '../../../members.js'
import { unusable } from '../upstream-errors.js'
import { readAnswer } from './fetch-answer.js'

/**
 * The key set (RFC 7517 5) of an answer, without keys and members that say nothing: one bad key does not spoil the
 * others.
 * @throws {UpstreamError} if it is too long, or no key set
 */
export async function readKeySetAnswer (response: Response, url: string): Promise<JSONWebKeySet> {
  const { members } = await readAnswer(response, url)
  const keys = members?.get('keys')
  if (!Array.isArray(keys)) throw unusable(`${url} has no key set`)
  return {
    keys: keys.flatMap((key: unknown) =>
      isObject(key) && typeof key.kty === 'string' ? [{ ...readKey(key), kty: key.kty }] : []
    )
  }
}

function readKey (key: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(key).filter(([, value]) => value !== null && value !== ''))
}
