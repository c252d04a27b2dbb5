import { basename, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { quote } from 'shell-quote'
import { ConfigError } from '../errors.js'
import { packageVersion } from '../version.js'
import type { Command, CommandIo } from './command.js'
import { LOGINS, SDK_LINES, isLogin, isSdkLine, type Choices } from './init/choices.js'
import { writeProject } from './init/project.js'
import { Questions } from './init/questions.js'

const DEFAULT_FOLDER = 'my-mcp'
// as a shell says that Ctrl-C has ended a program
const INTERRUPTED = 130

const USAGE = `Usage: fastify-mcp-oauth init [folder] [options]

Makes a small project: an MCP server behind a login, its test, and its image. Asks for what you leave out; Enter takes
the default.

  folder            a new one, or an empty one; default: ${DEFAULT_FOLDER}
  --sdk LINE        line of the MCP SDK: ${SDK_LINES.join(' or ')}; default: ${SDK_LINES[0]}
  --provider NAME   where people log in: ${LOGINS.slice(0, 6).join(', ')},
                    ${LOGINS.slice(6).join(', ')}; default: ${LOGINS[0]}, a login server for trying it
  --package SOURCE  what to install as fastify-mcp-oauth: a range of versions, or a tarball; default: this version
  --yes             ask nothing
`

const options = {
  sdk: { type: 'string' },
  provider: { type: 'string' },
  package: { type: 'string' },
  yes: { type: 'boolean', short: 'y', default: false },
  help: { type: 'boolean', short: 'h', default: false }
} as const

/** `fastify-mcp-oauth init`. */
export const run: Command = async (args, io) => {
  const given = parse(args)
  if (given === undefined || given.help) {
    io.write(USAGE)
    return given === undefined ? 2 : 0
  }
  const questions = given.yes ? undefined : new Questions()
  try {
    const choices = await choose(given, questions)
    if (choices === undefined) {
      io.write('\nNothing was made. (--yes takes the defaults without asking.)\n')
      return INTERRUPTED
    }
    const files = writeProject(choices)
    io.write(`\nMade ${shown(choices.folder)}:\n${files.map(file => `  ${file}\n`).join('')}${nextSteps(choices)}`)
    return 0
  } catch (error) {
    return explain(error, io)
  } finally {
    questions?.close()
  }
}

interface Given {
  folder: string | undefined
  sdk: Choices['sdk'] | undefined
  login: Choices['login'] | undefined
  source: string
  yes: boolean
  help: boolean
}

function parse (args: string[]): Given | undefined {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    const { sdk, provider, package: source = `^${packageVersion()}`, yes, help } = values
    if (positionals.length > 1) return undefined
    if (sdk !== undefined && !isSdkLine(sdk)) return undefined
    if (provider !== undefined && !isLogin(provider)) return undefined
    return { folder: positionals[0], sdk, login: provider, source: packageSource(source), yes, help }
  } catch {
    return undefined
  }
}

/** @returns undefined if the person leaves before the last answer */
async function choose (given: Given, questions: Questions | undefined): Promise<Choices | undefined> {
  const ask = async <T extends string>(
    said: T | undefined,
    question: string,
    fallback: T,
    isAllowed: (answer: string) => answer is T
  ): Promise<T | undefined> =>
    said ?? (questions === undefined ? fallback : await questions.ask(question, fallback, isAllowed))

  const folder = await ask(given.folder, 'Folder', DEFAULT_FOLDER, (answer): answer is string => answer !== '')
  if (folder === undefined) return undefined
  const sdk = await ask(given.sdk, `Line of the MCP SDK (${SDK_LINES.join(', ')})`, SDK_LINES[0], isSdkLine)
  if (sdk === undefined) return undefined
  const login = await ask(given.login, `Where people log in (${LOGINS.join(', ')})`, LOGINS[0], isLogin)
  if (login === undefined) return undefined
  return { folder: resolve(folder), name: packageName(folder), sdk, login, source: given.source }
}

/** A path is from here, not from the project. */
function packageSource (source: string): string {
  return source.endsWith('.tgz') && !URL.canParse(source) ? `file:${resolve(source)}` : source
}

/** A name that npm takes, after the folder. */
function packageName (folder: string): string {
  const name = basename(resolve(folder)).toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-').replaceAll(/^-+|-+$/g, '')
  return name === '' ? DEFAULT_FOLDER : name
}

function nextSteps ({ folder, login }: Choices): string {
  const enter = folder === process.cwd() ? '' : `  cd ${quote([shown(folder)])}\n`
  const settings = login === 'demo'
    ? 'People log in at a demo login, with any name and password, until .env names a login server.'
    : 'Copy .env.example to .env, and fill it in. Without it, people log in at a demo login.'
  return `\nNow:\n${enter}  npm install\n  npm test\n  npm start\n\n${settings}\n`
}

function shown (folder: string): string {
  return relative('', folder) || '.'
}

/** @returns the exit code */
function explain (error: unknown, { write }: CommandIo): number {
  if (error instanceof ConfigError) {
    write(`${error.message}\n`)
    return 2
  }
  if (!(error instanceof Error) || !('code' in error)) throw error
  write(`The project could not be written, and nothing is left of it: ${error.message}\n`)
  return 1
}
