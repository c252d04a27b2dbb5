import {
  Kind,
  Optional,
  Type,
  TypeRegistry,
  type Static,
  type TObject,
  type TOptional,
  type TSchema,
  type TUnsafe
} from '@sinclair/typebox'
import {
  HOST,
  isClientCredential,
  isHost,
  isOrigin,
  isScopeToken,
  INTERNAL_URL,
  isInternalUrl,
  isSecureUrl,
  MAX_LIFETIME_SECONDS,
  MAX_TIMER_MS,
  MAX_TIMER_SECONDS,
  ORIGIN,
  SCOPE,
  SECURE_URL
} from './values.js'

/*
 * The parts that schemas of options are made of. Types and docstrings of options stand in their interfaces; `optionsOf`
 * has the compiler refuse a schema that lacks an option, has one too many, or takes what the interface does not.
 */

const KIND = 'fastify-mcp-oauth'

interface Checked {
  [Kind]: typeof KIND
  accepts: (value: unknown) => boolean
}

TypeRegistry.Set<Checked>(KIND, ({ accepts }, value) => accepts(value))

interface Words {
  /** In words, what it takes. */
  takes: string
  /** Whether its value must not be shown. */
  secret?: boolean
}

/** What no JSON Schema describes: functions, instances, texts of a form. */
export function checked<T> (words: Words, accepts: (value: unknown) => boolean): TUnsafe<T> {
  return Type.Unsafe<T>({ [Kind]: KIND, accepts, ...words })
}

const textThat = (words: Words, accepts: (value: string) => boolean) =>
  checked<string>(words, value => typeof value === 'string' && accepts(value))

export { Optional as optional, textThat }

export const someText = textThat({ takes: 'a text that is not empty' }, value => value.trim() !== '')
export const anyText = textThat({ takes: 'a text' }, () => true)
export const flag = Type.Boolean({ takes: 'true or false' })
export const secureUrlText = textThat({ takes: SECURE_URL }, isSecureUrl)
export const clientId = textThat({ takes: 'a client id: a text that is not empty' }, isClientCredential)
export const clientSecret = textThat(
  { takes: 'a client secret: a text that is not empty', secret: true },
  isClientCredential
)
export const scope = textThat({ takes: SCOPE }, isScopeToken)
/** A URL, or its text. */
export const secureUrl = checked<URL | string>(
  { takes: SECURE_URL },
  value => (typeof value === 'string' || value instanceof URL) && isSecureUrl(String(value))
)

/** The URL of a server in our own network, or its text. */
export const internalUrl = checked<URL | string>(
  { takes: INTERNAL_URL },
  value => (typeof value === 'string' || value instanceof URL) && isInternalUrl(String(value))
)

/** A number of things: at least one. */
/** 0: none. */
export const countOrNone = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  takes: 'a whole number from 0'
})
export const count = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, takes: 'a whole number from 1' })
/** How long something is kept. */
export const lifetime = Type.Integer({
  minimum: 1,
  maximum: MAX_LIFETIME_SECONDS,
  takes: `a whole number of seconds, from 1 to ${MAX_LIFETIME_SECONDS}`
})
/** How long a timer runs. */
export const timerSeconds = Type.Number({
  exclusiveMinimum: 0,
  maximum: MAX_TIMER_SECONDS,
  takes: `a number of seconds above 0, at most ${MAX_TIMER_SECONDS}`
})
export const timerMs = Type.Integer({
  minimum: 1,
  maximum: MAX_TIMER_MS,
  takes: `a whole number of milliseconds, from 1 to ${MAX_TIMER_MS}`
})

/** A function. What it takes and gives is not known before it runs. */
export const functionSchema = <T>(takes: string): TUnsafe<T> =>
  checked<T>({ takes }, value => typeof value === 'function')

/** The required methods of an interface. */
type Methods<T> = { [K in keyof T as T[K] extends (...parameters: never[]) => unknown ? K : never]: true }

/** An object with the methods of `T`, all of which `methods` names. */
export function instanceSchema<T> (what: string, methods: Methods<T>): TUnsafe<T> {
  const names = Object.keys(methods)
  return checked<T>({
    takes: `${what}: an object with the ${names.length === 1 ? 'method' : 'methods'} ${names.join(', ')}`
  }, value => {
    if (typeof value !== 'object' || value === null) return false
    return names.every(name => typeof Reflect.get(value, name) === 'function')
  })
}

/** An object with some of the optional methods of `T`, all of which `methods` names. */
export function observerSchema<T> (methods: Record<keyof T, true>): TUnsafe<T> {
  const names = Object.keys(methods)
  return checked<T>({ takes: `an observer: an object with some of the methods ${names.join(', ')}` }, value => {
    if (typeof value !== 'object' || value === null) return false
    const found = names.map(name => typeof Reflect.get(value, name)).filter(type => type !== 'undefined')
    return found.length > 0 && found.every(type => type === 'function')
  })
}

/** A list; of texts, each is there once. */
export function listSchema<S extends TSchema> (
  items: S,
  takes: string,
  { minItems = 0, uniqueItems = true } = {}
): TUnsafe<ReadonlyArray<Static<S>>> {
  return Type.Unsafe<ReadonlyArray<Static<S>>>(Type.Array(items, { minItems, uniqueItems, takes }))
}

/** Texts by name. */
export function recordSchema (values: TSchema, takes: string): TUnsafe<Readonly<Record<string, string>>> {
  return Type.Unsafe<Readonly<Record<string, string>>>(Type.Record(Type.String(), values, { takes }))
}

/** Our scopes, the first of which is the base scope. */
export const scopes = Type.Unsafe<readonly [string, ...string[]]>(
  Type.Array(scope, { minItems: 1, uniqueItems: true, takes: 'a list of one or more scopes, each once' })
)
export const origins = listSchema(
  textThat({ takes: ORIGIN }, isOrigin),
  'a list of origins, each once'
)
export const hosts = listSchema(textThat({ takes: HOST }, isHost), 'a list of hosts, each once')

export function choiceSchema<const T extends readonly string[]> (...values: T): TUnsafe<T[number]> {
  return checked<T[number]>(
    { takes: values.join(', ').replace(/, ([^,]+)$/, ' or $1') },
    value => typeof value === 'string' && values.includes(value)
  )
}

type SameType<A, B> = [A] extends [B] ? [B] extends [A] ? true : false : false
type SchemaOf<T, K extends keyof T> = object extends Pick<T, K> ? TOptional<TSchema> : TSchema

/** What a schema must have for each option of `T`, and no more. */
type Faithful<T, P> = {
  [K in keyof T]-?: K extends keyof P
    ? P[K] extends SchemaOf<T, K>
      ? SameType<P[K] extends TSchema ? Static<P[K]> : never, NonNullable<T[K]>> extends true
        ? P[K]
        : { 'the schema takes another type than the option has': T[K] }
      : { 'optional here, not there': K }
    : TSchema
} & { [K in Exclude<keyof P, keyof T>]: never }

/** The schemas of the options in `T`, one for each. */
export function optionSchemas<T> (): <P extends Record<string, TSchema>>(properties: P & Faithful<T, P>) => P {
  return properties => properties
}

const anything = Type.Optional(checked<unknown>({ takes: 'anything' }, () => true))
// those that Fastify takes of every plugin
const FASTIFY = ['prefix', 'logLevel', 'logSerializers']

/** The options of a plugin. @param ignored names that it knows, and that are none of its business */
export function pluginObject (own: Record<string, TSchema>, ignored: readonly string[] = []): TSchema {
  const others = Object.fromEntries([...FASTIFY, ...ignored].map(name => [name, anything]))
  return Type.Object({ ...others, ...own }, {
    additionalProperties: false,
    known: Object.keys(own),
    takes: 'an object'
  })
}

/** An object with these options and no others. */
export function objectSchema<P extends Record<string, TSchema>> (properties: P, takes: string): TObject<P> {
  return Type.Object(properties, { additionalProperties: false, takes })
}
