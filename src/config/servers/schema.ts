import * as z from 'zod'
import { isScopeToken, SCOPE } from '../../validation/values.js'

const text = (takes: string) => z.string(takes).refine(value => value.trim() !== '', takes)
const texts = (takes: string) => z.record(z.string(), z.string('a text'), takes)
const scope = z.string(SCOPE).refine(isScopeToken, SCOPE)
const SCOPES = 'a list of one or more scopes, each once'

/** What clients have in their files besides, and a server does not need. */
const OF_CLIENTS = {
  alwaysAllow: z.unknown(),
  autoApprove: z.unknown(),
  description: z.unknown(),
  timeout: z.unknown(),
  trust: z.unknown()
}

const AUTH = '"upstream-token", or an object with tokenExchange'
const tokenExchange = z.strictObject({
  tokenExchange: z.strictObject({
    tokenEndpoint: text('a URL'),
    audience: z.exactOptional(text('a text')),
    resource: z.exactOptional(text('a URL')),
    clientId: text('a client id'),
    clientSecret: text('a text'),
    scope: z.exactOptional(text('scopes'))
  })
})

const shape = {
  type: z.exactOptional(z.enum(['stdio', 'http', 'streamable-http', 'streamableHttp', 'sse'], 'stdio, http or sse')),
  command: z.exactOptional(text('a program')),
  args: z.exactOptional(z.array(z.string('a text'), 'a list of texts')),
  env: z.exactOptional(texts('an object of texts: name -> value')),
  inheritEnv: z.exactOptional(z.array(text('the name of a variable'), 'a list of names of variables')),
  cwd: z.exactOptional(text('a folder')),
  roots: z.exactOptional(z.boolean('true or false')),
  share: z.exactOptional(z.union([z.boolean(), z.enum(['person', 'session'])], 'true, false, person or session')),
  url: z.exactOptional(text('the URL of an MCP endpoint')),
  auth: z.exactOptional(z.union([z.literal('upstream-token'), tokenExchange], AUTH)),
  headers: z.exactOptional(texts('an object of texts: header -> value')),
  module: z.exactOptional(text('a file')),
  disabled: z.exactOptional(z.boolean('true or false')),
  title: z.exactOptional(text('a text')),
  path: z.exactOptional(text('a path')),
  scopes: z.exactOptional(
    z.array(scope, SCOPES).min(1, SCOPES).refine(list => new Set(list).size === list.length, SCOPES)
  ),
  policy: z.exactOptional(
    z.union([text('a file'), z.record(z.string(), z.unknown())], 'the path of a policy file, or an object of rules')
  )
}

const ignored = Object.fromEntries(Object.entries(OF_CLIENTS).map(([name, schema]) => [name, z.exactOptional(schema)]))

/** One server of the file. */
const serverSchema = z.strictObject({ ...shape, ...ignored }, {
  error: ({ code }) =>
    code === 'unrecognized_keys' ? Object.keys(shape).join(' ') : 'an object with command, url or module'
})

const servers = z.record(z.string(), serverSchema, 'an object of servers: name -> server')
  .refine(members => Object.keys(members).length > 0, 'an object with one or more servers')

/** The file: as MCP clients have it, whose files may have more at the top. */
export const serversFileSchema = z.looseObject({
  mcpServers: z.exactOptional(servers),
  servers: z.exactOptional(servers)
}, 'an object with mcpServers')

export type FileServer = z.infer<z.ZodObject<typeof shape>>
