import type { AttemptsReport, ReportedStep } from '../oauth/login-attempts/report.js'
import type { Verdict } from '../oauth/login-attempts/verdict.js'
import { DEFAULT_PORT } from '../config/default-port.js'
import { readDotenv, withoutEmpty } from '../config/environment.js'
import { ConfigError } from '../errors.js'
import type { CommandIo } from './command.js'
import { localUrl } from '../loopback.js'
import { parseRecord } from '../parse-record.js'

const USAGE = `Usage: fastify-mcp-oauth attempts [url]

How the last logins at a running service went, and what to do about those that failed. Takes ADMIN_TOKEN from the
environment, or from .env. The default url is PUBLIC_URL, or http://localhost with PORT (${DEFAULT_PORT}).
`

const TIMEOUT_MS = 10_000

/** Prints how the last logins at a running service went, the last one at the end, where a terminal shows it. */
export async function run ([url, ...rest]: string[], { write, env }: CommandIo): Promise<number> {
  if (url === '--help') {
    write(USAGE)
    return 0
  }
  const known = findSettings(env)
  if (typeof known === 'string') {
    write(`${known}\n`)
    return 2
  }
  const { adminToken } = known
  const service = url ?? known.publicUrl
  if (rest.length > 0 || !URL.canParse(service) || !/^https?:/.test(service)) {
    write(USAGE)
    return 2
  }
  if (adminToken === '') {
    write('ADMIN_TOKEN is not set; set it to the token that the service was started with.\n')
    return 2
  }
  const answer = await ask(findReport(service), adminToken)
  write(typeof answer === 'string' ? `${answer}\n` : formatReport(answer))
  return typeof answer === 'string' ? 1 : 0
}

/** What the environment says, or else `.env`. @returns why that cannot be read, in one line */
function findSettings (env: NodeJS.ProcessEnv): { adminToken: string, publicUrl: string } | string {
  try {
    const { ADMIN_TOKEN: adminToken = '', PUBLIC_URL, PORT = DEFAULT_PORT } = { ...readDotenv(), ...withoutEmpty(env) }
    return { adminToken, publicUrl: PUBLIC_URL ?? localUrl(Number(PORT)) }
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

/** Where the report is, from the URL of the service or of its MCP endpoint. */
function findReport (service: string): URL {
  const url = new URL(service)
  url.pathname = `${url.pathname.replace(/(?:\/mcp)?\/?$/, '')}/admin/attempts`
  url.search = ''
  return url
}

/** @returns the report, or why there is none */
async function ask (url: URL, adminToken: string): Promise<AttemptsReport | string> {
  try {
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${adminToken}`, accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS)
    })
    if (response.status === 401) return `${url.origin} says that ADMIN_TOKEN is wrong.`
    if (response.status === 404) {
      return `${url.origin} does not show login attempts: it was started without ADMIN_TOKEN.`
    }
    if (!response.ok) return `${url.href} answered ${response.status}.`
    const report = parseRecord<AttemptsReport>(await response.text())
    return report
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
    return `${url.href} could not be read: ${error instanceof Error ? error.message : String(error)}${cause}`
  }
}

function formatReport ({ at, publicUrl, loginHost, upstreamMode, attempts, visits }: AttemptsReport): string {
  const sections = [
    ...visits.length === 0 ? [] : ['Before a login (which one it belongs to cannot be known)'],
    ...visits.toReversed().map(({ address, userAgent, steps, verdict }) =>
      entry(`${userAgent} at ${address}`, steps, verdict)
    ),
    'Logins',
    ...attempts.toReversed().map(({ client, redirectHost, steps, verdict }) =>
      entry(
        [
          client.name ?? 'A client without a name',
          ...[client.id, client.kind, redirectHost && `to ${redirectHost}`].filter(fact => fact !== undefined)
        ].join(', '),
        steps,
        verdict
      )
    ),
    attempts.length === 0
      ? 'Nobody has tried to log in.'
      : `${attempts.length} logins at ${publicUrl} (login server ${loginHost}, ${upstreamMode} mode), ${time(at)}`
  ]
  // what others have named themselves must not steer the terminal
  return sections.map(section => `${section.split('\n').map(line => line.replace(/\p{Cc}/gu, '')).join('\n')}\n\n`)
    .join('')
}

const MARKS = { good: '✓', waiting: '…', failed: '✗' }

function entry (title: string, steps: ReportedStep[], { outcome, text, advice }: Verdict): string {
  return [
    `${time(steps[0]?.at ?? '')}  ${title}`,
    ...steps.map(({ name, at, ok, text }) =>
      `    ${ok ? '✓' : '✗'} ${at.slice(11, 19)} ${name}${text === undefined ? '' : `: ${text}`}`
    ),
    `  ${MARKS[outcome]} ${text}`,
    ...advice === undefined ? [] : [`    ${advice}`]
  ].join('\n')
}

// to the second: 2026-11-24 15:02:11 UTC
function time (iso: string): string {
  return `${iso.slice(0, 19).replace('T', ' ')} UTC`
}
