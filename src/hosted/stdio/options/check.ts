import { checkOptions } from '../../../validation/check.js'
import {
  checked,
  choiceSchema,
  count,
  flag,
  listSchema,
  objectSchema,
  optional,
  optionSchemas,
  textThat,
  timerSeconds
} from '../../../validation/schemas.js'
import { isObject } from '../../../members.js'
import type { StdioLimits, StdioServerOptions } from './options.js'

// the operating system takes no others
const hasNoNull = (text: string) => !text.includes('\0')
const isName = (name: string) => /^[A-Za-z_]\w*$/.test(name)

const argument = textThat({ takes: 'a text without null characters', secret: true }, hasNoNull)
const variableName = textThat({ takes: 'the name of a variable' }, isName)
const variables = checked<Readonly<Record<string, string>>>(
  { takes: 'texts without null characters, by the names of variables', secret: true },
  value => isObject(value) && Object.entries(value).every(([name, text]) =>
    isName(name) && typeof text === 'string' && hasNoNull(text))
)

const limits = optionSchemas<Partial<StdioLimits>>()({
  maxProcesses: optional(count),
  maxProcessesPerPerson: optional(count),
  maxMemoryBytes: optional(count),
  startSeconds: optional(timerSeconds),
  idleSeconds: optional(timerSeconds),
  maxMessageBytes: optional(count),
  maxUnreadBytes: optional(count),
  graceSeconds: optional(timerSeconds)
})

const options = objectSchema(optionSchemas<StdioServerOptions>()({
  command: textThat({ takes: 'the name or path of a program' }, text => text !== '' && hasNoNull(text)),
  args: optional(listSchema(argument, 'a list of texts', { uniqueItems: false })),
  env: optional(variables),
  inheritEnv: optional(listSchema(variableName, 'a list of names of variables', { uniqueItems: false })),
  cwd: optional(textThat({ takes: 'the path of a folder' }, text => text !== '' && hasNoNull(text))),
  per: optional(choiceSchema('person', 'session', 'shared')),
  restart: optional(flag),
  roots: optional(flag),
  limits: optional(objectSchema(limits, 'an object of limits'))
}), 'an object with command')

/**
 * Checks the options of a stdio server.
 * @throws {ConfigError} with one line that names the option, what it got and what it takes
 */
export function checkStdioServerOptions (given: StdioServerOptions): void {
  checkOptions('stdioServer', options, given)
}
