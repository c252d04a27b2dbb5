import { join } from 'node:path'
import ts from 'typescript'
import { root } from '../support/root.js'
import { findExports, readCompilerOptions } from './exports.js'

/** Interfaces whose members a user of the plugins may set, and what the page says of each. */
const documented: ReadonlyArray<[name: string, heading: string]> = [
  ['BrokerModeOptions', '`mcpService`, mode `broker` (the default)'],
  ['ResourceServerModeOptions', '`mcpService`, mode `resource-server`'],
  ['HostAuthModeOptions', '`mcpService`, mode `host`'],
  ['HostedServerOptions', '`servers`: each of several servers, in any mode'],
  ['McpDiscoveryOptions', '`mcpDiscovery`'],
  ['OAuthBrokerOptions', '`oauthBroker`'],
  ['BearerAuthOptions', '`bearerAuth`'],
  ['McpTransportsOptions', '`mcpTransports`'],
  ['UpstreamOptions', '`upstream`'],
  ['BrokerLifetimes', '`lifetimes`'],
  ['SessionLimits', '`limits`'],
  ['StreamOptions', '`streams`'],
  ['MemoryStoresOptions', '`createMemoryStores`'],
  ['SqliteStoresOptions', '`createSqliteStores`'],
  ['RedisStoresOptions', '`createRedisStores`'],
  ['RemoteServerOptions', '`remoteServer`'],
  ['RemoteLimits', '`remoteServer`, `limits`'],
  ['TokenExchangeOptions', '`remoteServer`, `auth.tokenExchange`'],
  ['ServerContext', 'What `createServer` is given']
]

/** The text of `docs/options.md`: what `src/index.ts` exports, as the type checker and the docstrings have it. */
export function optionsPage (): string {
  const index = join(root, 'src/index.ts')
  const program = ts.createProgram([index], readCompilerOptions('tsconfig.json'))
  const checker = program.getTypeChecker()
  const exported = findExports(program, index)
  const sections = documented.map(([name, heading]) => {
    const symbol = exported.get(name)
    if (symbol === undefined) throw new Error(`src/index.ts does not export ${name}.`)
    const rows = checker.getDeclaredTypeOfSymbol(symbol).getProperties().map(property =>
      row(property, checker)
    )
    return `## ${heading}\n\n| option | type | meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n`
  })
  return `# Options of the plugins

Every option of the plugins for a larger Fastify app ([embedding.md](embedding.md)). Options with \`?\` are optional.
\`npm run docs\` generates this page from the types and docstrings in \`src\`.

${sections.join('\n')}`
}

function row (property: ts.Symbol, checker: ts.TypeChecker): string {
  const optional = (property.flags & ts.SymbolFlags.Optional) !== 0
  const type = checker.typeToString(
    checker.getNonNullableType(checker.getTypeOfSymbol(property)),
    undefined,
    ts.TypeFormatFlags.NoTruncation
  )
  const meaning = ts.displayPartsToString(property.getDocumentationComment(checker)).replaceAll('\n', ' ')
  if (meaning === '') throw new Error(`The option ${property.name} has no docstring.`)
  return `| \`${property.name}${optional ? '?' : ''}\` | ${cell(type)} | ${meaning.replaceAll('|', '\\|')} |`
}

// a table cell ends at a pipe, in code, too
function cell (type: string): string {
  return `\`${type.replaceAll('|', '\\|')}\``
}
