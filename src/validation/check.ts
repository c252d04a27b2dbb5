import { TypeGuard, type TSchema } from '@sinclair/typebox'
import { Value, ValueErrorType, type ValueError } from '@sinclair/typebox/value'
import { ConfigError } from '../errors.js'
import { isObject } from '../members.js'

const MAX_SHOWN = 100

/**
 * Checks options against their schema; every part of it says in `takes` what it takes.
 * @param subject whose options they are, such as `mcpService`
 * @param path where the value stands, such as `auth`; empty: at the top
 * @throws {ConfigError} with one line that names the option, what it got and what it takes
 */
export function checkOptions (subject: string, schema: TSchema, value: unknown, path = ''): void {
  const error = Value.Errors(schema, value).First()
  if (error === undefined) return
  const option = formatPath(error, path)
  if (error.type === ValueErrorType.ObjectAdditionalProperties) {
    throw new ConfigError(`${subject}: ${option} is not an option; ${instead(error)}.`)
  }
  throw new ConfigError(
    `${subject}: ${option || 'the options'} ${
      error.value === undefined ? 'is missing' : `is ${shown(error)}`
    }; it takes ${takes(error.schema)}.`
  )
}

/** `/clients/0/redirectUris` as `clients[0].redirectUris`. */
function formatPath ({ path }: ValueError, within: string): string {
  const names = path.split('/').slice(1).map(name => name.replaceAll('~1', '/').replaceAll('~0', '~'))
  return names.reduce((text, name) => {
    if (/^\d+$/.test(name)) return `${text}[${name}]`
    const plain = /^[A-Za-z_$][\w$]{0,99}$/.test(name) ? name : shortened(JSON.stringify(name))
    return text === '' ? plain : `${text}.${plain}`
  }, within)
}

/** What the writer of an unknown name may have meant. */
function instead ({ path, schema }: ValueError): string {
  const name = path.slice(path.lastIndexOf('/') + 1).toLowerCase()
  const members: unknown = schema.known
  const known = Array.isArray(members)
    ? members.map(String)
    : Object.keys(TypeGuard.IsObject(schema) ? schema.properties : {})
  const meant = known.find(option => option.toLowerCase() === name)
  return meant === undefined ? `those that there are: ${known.join(', ')}` : `did you mean ${meant}?`.slice(0, -1)
}

/** A value in few words and on one line; nothing of a secret. */
function shown ({ value, schema }: ValueError): string {
  if (schema.secret === true && typeof value === 'string') return `a text of ${value.length} characters`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'number') return String(value)
  if (isObject(value)) {
    return value instanceof URL
      ? `the URL ${shortened(value.href)}`
      : 'an object'
  }
  if (Array.isArray(value) && schema.secret === true) return `a list of ${value.length}`
  try {
    return quoted(value)
  } catch {
    return 'a list'
  }
}

/** A value as JSON, on one line and not too long. */
export function quoted (value: unknown): string {
  return shortened(JSON.stringify(value))
}

function shortened (text: string): string {
  // JSON leaves these two line ends as they are
  const line = text.replace(/[\u2028\u2029]/g, ' ')
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN)}…` : line
}

function takes (schema: TSchema): string {
  return typeof schema.takes === 'string' ? schema.takes : String(schema.type)
}
