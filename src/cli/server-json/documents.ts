import { ConfigError } from '../../errors.js'
import { isObject } from '../../members.js'
import { REVISION_2026_07_28, SERVED_REVISIONS } from '../../mcp/wire/protocol-versions.js'

/** What the documents are made of. */
export interface ServerFacts {
  /** An https URL, without a slash at its end. */
  publicUrl: string
  /** Of one of several servers: `/notes`. */
  path: string
  sessionMode: 'stateful' | 'stateless'
  /** `serverInfo` of the hosted server. */
  info: Readonly<Record<string, unknown>>
  /** In place of the one that is made. */
  name?: string
  /** In place of the server's. */
  description?: string
}

const SERVER_JSON_SCHEMA = 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json'
const CARD_SCHEMA = 'https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json'

// limits of both schemas
const NAME = /^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/
const MAX_NAME = 200
const MAX_TEXT = 100

/**
 * The `server.json` of the MCP registry.
 * @throws {ConfigError} if a value does not fit its schema
 */
export function toServerJson (facts: ServerFacts): Record<string, unknown> {
  const remotes = endpoints(facts).map(({ type, url }) => ({ type, url }))
  return { $schema: SERVER_JSON_SCHEMA, ...identity(facts), remotes }
}

/**
 * The MCP Server Card (SEP-2127), which says how to connect, and never what the server offers.
 * @throws {ConfigError} if a value does not fit its schema
 */
export function toServerCard (facts: ServerFacts): Record<string, unknown> {
  const remotes = endpoints(facts).map(({ type, url, revisions }) =>
    ({ type, url, supportedProtocolVersions: revisions })
  )
  return { $schema: CARD_SCHEMA, ...identity(facts), remotes }
}

function endpoints ({ publicUrl, path, sessionMode }: ServerFacts) {
  const legacy = SERVED_REVISIONS.filter(revision => revision !== REVISION_2026_07_28)
  return [
    { type: 'streamable-http', url: `${publicUrl}${path}/mcp`, revisions: [...SERVED_REVISIONS] },
    // needs sessions
    ...sessionMode === 'stateless' ? [] : [{ type: 'sse', url: `${publicUrl}${path}/sse`, revisions: legacy }]
  ]
}

/** What both documents say of the server. */
function identity (facts: ServerFacts): Record<string, unknown> {
  const { info: { title, version, websiteUrl, icons } } = facts
  const shownIcons = Array.isArray(icons) ? icons.filter(isPublicIcon) : []
  return {
    name: nameOrFault(facts),
    ...typeof title === 'string' && title !== '' && { title: title.slice(0, MAX_TEXT) },
    description: descriptionOrFault(facts),
    version: String(version),
    ...typeof websiteUrl === 'string' && { websiteUrl },
    ...shownIcons.length > 0 && { icons: shownIcons }
  }
}

function nameOrFault ({ publicUrl, info, name = defaultName(publicUrl, String(info.name)) }: ServerFacts): string {
  if (NAME.test(name) && name.length <= MAX_NAME) return name
  throw new ConfigError(
    `--name is ${JSON.stringify(name)}; it takes a reversed domain, a slash and a name: com.example/notes.`
  )
}

/** `https://mcp.example.com` and `My notes` become `com.example.mcp/My-notes`. */
function defaultName (publicUrl: string, serverName: string): string {
  const namespace = new URL(publicUrl).hostname.split('.').reverse().join('.')
  return `${namespace}/${serverName.replaceAll(/[^a-zA-Z0-9._-]+/g, '-').replaceAll(/^-+|-+$/g, '')}`
}

function descriptionOrFault ({ info, description }: ServerFacts): string {
  const text = (description ?? (typeof info.description === 'string' ? info.description : '')).trim()
  if (text !== '' && text.length <= MAX_TEXT) return text
  const has = text === ''
    ? 'The server does not describe itself (serverInfo.description)'
    : `The description has ${text.length} characters`
  throw new ConfigError(`${has}: say what it does in at most ${MAX_TEXT} with --description.`)
}

/** Icons that a stranger can load; `data:` URLs are not allowed in the registry. */
function isPublicIcon (icon: unknown): boolean {
  return isObject(icon) && typeof icon.src === 'string' && icon.src.startsWith('https://')
}
