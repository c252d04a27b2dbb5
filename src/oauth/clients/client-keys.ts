import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { JWK } from 'jose'
import { getMember, isObject } from '../../members.js'

const MAX_KEYS = 50
// 8192 bits, and an exponent of 32: larger ones only cost time
const MAX_MODULUS = 1366
// 2048 bits
const MIN_MODULUS = 342
const MAX_EXPONENT = 6
// a coordinate of P-256 or Ed25519: 32 bytes
const coordinate = Type.String({ pattern: '^[\\w-]{43}$' })

const common = {
  kid: Type.Optional(Type.String({ maxLength: 500 })),
  use: Type.Optional(Type.Literal('sig')),
  alg: Type.Optional(Type.String({ maxLength: 20 })),
  key_ops: Type.Optional(Type.Array(Type.String({ maxLength: 20 }), { maxItems: 10, contains: Type.Literal('verify') }))
}
/** Public keys (RFC 7517, RFC 8037) that verify RS256, PS256, ES256 or EdDSA. */
const PublicKey = Type.Union([
  Type.Object({
    ...common,
    kty: Type.Literal('RSA'),
    n: Type.String({ minLength: MIN_MODULUS, maxLength: MAX_MODULUS, pattern: '^[\\w-]+$' }),
    e: Type.String({ maxLength: MAX_EXPONENT, pattern: '^[\\w-]+$' })
  }),
  Type.Object({ ...common, kty: Type.Literal('EC'), crv: Type.Literal('P-256'), x: coordinate, y: coordinate }),
  Type.Object({ ...common, kty: Type.Literal('OKP'), crv: Type.Literal('Ed25519'), x: coordinate })
])
const MEMBERS = ['kty', 'kid', 'use', 'alg', 'key_ops', 'n', 'e', 'crv', 'x', 'y']

/**
 * The keys of a key set (RFC 7517 5) that can verify the assertions of a client; others are left out, as that
 * specification says, and so is a key whose private part is public.
 */
export function parseUsableKeys (keySet: unknown): JWK[] {
  const keys = getMember(keySet, 'keys')
  if (!Array.isArray(keys)) return []
  return keys.filter(key => !isPrivate(key)).flatMap(key => {
    const known = isObject(key)
      ? Object.fromEntries(Object.entries(key).filter(([name]) => MEMBERS.includes(name)))
      : {}
    // it has two names, EdDSA and Ed25519, and the curve says it
    if (known.kty === 'OKP') delete known.alg
    return Value.Check(PublicKey, known) ? [known] : []
  }).slice(0, MAX_KEYS)
}

/** Whether a key set contains a private or symmetric key. */
export function hasPrivateKey (keySet: unknown): boolean {
  const keys = getMember(keySet, 'keys')
  return Array.isArray(keys) && keys.some(isPrivate)
}

function isPrivate (key: unknown): boolean {
  return getMember(key, 'd') !== undefined || getMember(key, 'k') !== undefined
}
