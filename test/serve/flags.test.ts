import t from 'tap'
import { run as serve } from '../../src/cli/serve.js'
import { runProgram } from '../../src/cli/program.js'
import { parseFlags, serveFlags } from '../../src/cli/serve/flags.js'
import { loadConfig } from '../../src/config/config.js'
import { EnvironmentSchema } from '../../src/config/environment.js'
import { parseCommandLine } from '../../src/config/servers/command-line.js'
import { packageVersion } from '../../src/version.js'

async function printed (run: (write: (text: string) => void) => Promise<number>) {
  const texts: string[] = []
  const code = await run(text => { texts.push(text) })
  return { code, text: texts.join('') }
}

const program = (...args: string[]) => printed(write => runProgram(args, { env: {}, write }))
const refusal = async (args: string[], env: NodeJS.ProcessEnv = {}) => printed(write => serve(args, { env, write }))

t.test('the program says what it is', async t => {
  t.strictSame(await program('--version'), { code: 0, text: `${packageVersion()}\n` })
  const help = await program('--help')
  t.match(help, { code: 0, text: /^Usage: fastify-mcp-oauth <command>/ })
  const commands = [...help.text.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => String(name))
  t.ok(commands.length > 4, 'the commands are listed')
  for (const name of commands) {
    t.match(await program(name, '--help'), { code: 0, text: `Usage: fastify-mcp-oauth ${name}` }, name)
  }
  t.match(await program(), { code: 2, text: /^Usage/ })
  t.match(await program('sevre'), { code: 2, text: /^There is no command "sevre"\./ })
  t.match(await program('toString'), { code: 2, text: /^There is no command/ })
})

t.test('each flag sets its variable, and is in the help', async t => {
  const { text: help } = await program('serve', '--help')
  for (const { flag, variable, takes, means } of serveFlags) {
    const value = means ?? 'a'
    t.strictSame(
      parseFlags([`--${flag}`, ...takes === undefined ? [] : [value]]),
      {
        ...['module', 'stdio', 'url', 'servers'].includes(flag) && {
          SERVER_MODULE: undefined,
          SERVER_COMMAND: undefined,
          SERVER_URL: undefined,
          SERVERS_FILE: undefined
        },
        [variable]: { flag: `--${flag}`, value }
      },
      flag
    )
    t.ok(Object.hasOwn(EnvironmentSchema.properties, variable), variable)
    t.match(help, new RegExp(`--${flag} .*\\[${variable}`))
  }
  t.match(parseFlags(['--allow-email', 'a@example.com', '--allow-email', 'b@example.com']), {
    ALLOWED_EMAILS: { value: 'a@example.com,b@example.com' }
  })
})

t.test('wrong flags are refused in one line', async t => {
  const cases: Array<[string[], RegExp]> = [
    [['--prot', '1'], /^Unknown option '--prot'\. .*--help/],
    [['server.js'], /^Unexpected argument 'server\.js'\./],
    [['--port'], /--port/],
    [['--port', ''], /^--port is empty/],
    [['--port', '1', '--port', '2'], /^--port is given 2 times/],
    [['--share', '--per-session'], /^--per-session and --share exclude each other/],
    [['--module', 'a.js', '--stdio', 'b'], /^--module and --stdio exclude each other/],
    [['--client-secret', 's3cret'], /^--client-secret does not exist: .* Set OAUTH_CLIENT_SECRET/],
    [['--client-secret=s3cret'], /^--client-secret does not exist/],
    [['--redis-url', 'redis://'], /Set REDIS_URL/],
    [['--port', 'high'], /^--port is "high"; it takes a whole number/],
    [['--public-url', 'ftp://a'], /^--public-url is/],
    [['--provider', 'nobody'], /^--provider is "nobody"; it takes google/],
    [['--log-level', 'loud'], /^--log-level is "loud"/],
    [['--stdio', 'a | b'], /^--stdio has an operator, \|; .*no shell/],
    [['--url', 'localhost:8000/mcp'], /^--url is not valid; it takes the URL/]
  ]
  for (const [args, text] of cases) {
    const answer = await refusal(args)
    t.match(answer, { code: 2, text }, args.join(' '))
    t.equal(answer.text.trimEnd().split('\n').length, 1, 'one line')
    t.notMatch(answer.text, 's3cret')
  }
  t.match(await refusal([], { PORT: 'high' }), { code: 1, text: /^PORT is "high"/ }, 'a variable')
  t.match(
    await refusal([], { SERVER_MODULE: 'a.js', SERVER_URL: 'http://a.example' }),
    { code: 1, text: /^SERVER_MODULE and SERVER_URL are set; only one/ }
  )
  t.match(
    await refusal([], { SERVER_COMMAND: 'a', SERVER_ENV: 'API_KEY' }),
    { code: 1, text: /^SERVER_ENV names API_KEY, which is not set/ }
  )
})

t.test('a command is split without a shell', async t => {
  const good: Array<[string, string[]]> = [
    ['uvx some-server', ['uvx', 'some-server']],
    ['  node   "my server.js" --x=\'a b\' c\\ d  ', ['node', 'my server.js', '--x=a b', 'c d']],
    ['node -e \'console.log("$x|`*")\'', ['node', '-e', 'console.log("$x|`*")']],
    ['a ""', ['a', '']],
    ['a "x*y" \'> b\' \\$HOME', ['a', 'x*y', '> b', '$HOME']],
    // eslint-disable-next-line no-template-curly-in-string -- a template of ours
    ['a --user ${claims.email} u-${claims.sub}', ['a', '--user', '${claims.email}', 'u-${claims.sub}']],
    ['a -- ~user', ['a', '--', '~user']]
  ]
  for (const [text, [command, ...args]] of good) {
    t.strictSame(parseCommandLine('--stdio', text), { command, args }, text)
  }
  const bad: Array<[string, string]> = [
    ['a | b', 'an operator, |'],
    ['a && b', 'an operator, &&'],
    ['a || b', 'an operator, ||'],
    ['a; b', 'an operator, ;'],
    ['a > b', 'an operator, >'],
    ['a < b', 'an operator, <'],
    ['a &', 'an operator, &'],
    ['(a)', 'an operator, ('],
    ['ls *.js', 'a pattern, *.js'],
    ['ls ?', 'a pattern, ?'],
    ['a $HOME', 'a variable, $HOME'],
    ['a "$HOME/x"', 'a variable, $HOME'],
    // eslint-disable-next-line no-template-curly-in-string -- what a shell would expand
    ['a ${HOME}', 'a variable, $HOME'],
    ['a $(b)', 'an operator'],
    ['a `b`', 'a command in `…`'],
    ['a "`b`"', 'a command in `…`'],
    ['a # b', 'a comment (#)'],
    ['a \'b', 'a quote that is not closed'],
    ['a "b', 'a quote that is not closed'],
    ['~/a', 'the home directory as ~'],
    ['a ~/b', 'the home directory as ~'],
    ['A=1 b', 'begins with a variable, A='],
    ['', 'is empty'],
    ['  ', 'is empty'],
    ['"" a', 'is empty']
  ]
  for (const [text, why] of bad) {
    t.throws(() => parseCommandLine('--stdio', text), { message: why }, text)
    t.throws(() => parseCommandLine('--stdio', text), { message: /^--stdio (has|is|begins) .*There is no shell/ }, text)
  }
})

t.test('the configuration says what is hosted', async t => {
  const server = (env: NodeJS.ProcessEnv) => loadConfig(env, { dotenv: false }).server
  t.equal(server({}), undefined)
  t.strictSame(server({ SERVER_MODULE: './a.js' }), { kind: 'module', setting: 'SERVER_MODULE', file: './a.js' })
  t.strictSame(
    server({ SERVER_COMMAND: 'a "b c"', SERVER_ENV: 'X,Y', X: '1', Y: '', Z: '3', SERVER_PROCESS: 'shared' }),
    {
      kind: 'stdio',
      setting: 'SERVER_COMMAND',
      command: 'a',
      args: ['b c'],
      env: {},
      inheritEnv: ['X', 'Y'],
      per: 'shared'
    }
  )
  t.match(server({ SERVER_URL: 'http://localhost:8000/mcp', SERVER_HEADERS: '{"x-api-key":"1"}' }), {
    kind: 'remote',
    transport: 'auto',
    headers: { 'x-api-key': '1' },
    auth: undefined
  })
  t.match(server({ SERVER_URL: 'http://localhost:8000/mcp', SERVER_AUTH: 'upstream-token' }), { auth: 'upstream-token' })
})
