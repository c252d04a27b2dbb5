import { createHash } from 'node:crypto'
import { personKey, type CallerInfo } from '../../../caller.js'
import { ConfigError, InitializeFailedError } from '../../../errors.js'
import { getMember } from '../../../members.js'

/** A text with values of the person in it. */
export interface Template {
  /** Where it stands, for errors. */
  option: string
  /** The texts around the values: one more than there are names. */
  texts: readonly string[]
  names: readonly string[]
}

/** Where values come from. */
export interface TemplateSource {
  caller: CallerInfo
  getUpstreamAccessToken: () => Promise<string | undefined>
}

const PLACE = /\$\{([^}]*)\}/
const CLAIM = /^claims\.[^.{}]+(?:\.[^.{}]+)*$/
const OF_THE_PERSON: ReadonlySet<string> = new Set(['subject', 'issuer', 'personId', 'upstreamAccessToken'])
const MAX_VALUE = 16_384

/** Whether `${name}` stands for a value of the person, and not for a variable of the environment. */
export function isTemplate (name: string): boolean {
  return name.startsWith('claims.') || OF_THE_PERSON.has(name)
}

/** @throws {ConfigError} if it names something that there is not */
export function parseTemplate (option: string, text: string): Template {
  const parts = text.split(PLACE)
  const names = parts.filter((_part, index) => index % 2 === 1)
  const unknown = names.find(name => !CLAIM.test(name) && !OF_THE_PERSON.has(name))
  if (unknown !== undefined) {
    throw new ConfigError(
      `stdioServer: ${option} names \${${unknown}}, which there is not; there are \${claims.…}, \${subject}, ` +
        '${issuer}, ${personId} and ${upstreamAccessToken}.'
    )
  }
  return { option, texts: parts.filter((_part, index) => index % 2 === 0), names }
}

/**
 * A template with its values. A value never becomes more than a part of its text: an argument stays one argument, and
 * does not become an option.
 * @throws {InitializeFailedError} (rejects with it) if a value is missing, or cannot be passed to a program
 */
export async function fillTemplate ({ texts, names, option }: Template, source: TemplateSource): Promise<string> {
  let text = texts[0] ?? ''
  for (const [index, name] of names.entries()) {
    const value = await findValue(name, source)
    if (text === '' && value.startsWith('-') && option.startsWith('args')) throw unusable(name, 'begins with a dash')
    text += value + (texts[index + 1] ?? '')
  }
  return text
}

async function findValue (name: string, source: TemplateSource): Promise<string> {
  const value = await lookUp(name, source)
  if (value === undefined || value === '') throw unusable(name, 'is not known')
  if (value.includes('\0')) throw unusable(name, 'has a NUL character')
  if (value.length > MAX_VALUE) throw unusable(name, 'is too long')
  return value
}

async function lookUp (name: string, { caller, getUpstreamAccessToken }: TemplateSource): Promise<string | undefined> {
  const { issuer, subject, claims } = caller.extra
  switch (name) {
    case 'subject': return subject
    case 'issuer': return issuer
    case 'personId': return personId(caller)
    case 'upstreamAccessToken': return await getUpstreamAccessToken()
  }
  const path = name.split('.').slice(1)
  const claim = path.reduce<unknown>((value, member) => getMember(value, member), claims)
  return typeof claim === 'string' || typeof claim === 'number' || typeof claim === 'boolean'
    ? String(claim)
    : undefined
}

/** Stands for a person in the name of a file. */
function personId ({ extra }: CallerInfo): string {
  return createHash('sha256').update(personKey(extra)).digest('hex').slice(0, 32)
}

function unusable (name: string, why: string): InitializeFailedError {
  return new InitializeFailedError(`The hosted server needs ${name} of this login, which ${why}.`)
}
