import { join } from 'node:path'
import ts from 'typescript'
import { root } from '../support/root.js'

/** Interfaces whose members a user of the plugins may set, and what the page says of each. */
const documented: ReadonlyArray<[name: string, heading: string]> = [
  ['BrokerModeOptions', '`mcpService`, mode `broker` (the default)'],
  ['ResourceServerModeOptions', '`mcpService`, mode `resource-server`'],
  ['HostAuthModeOptions', '`mcpService`, mode `host`'],
  ['McpDiscoveryOptions', '`mcpDiscovery`'],
  ['OAuthBrokerOptions', '`oauthBroker`'],
  ['BearerAuthOptions', '`bearerAuth`'],
  ['McpTransportsOptions', '`mcpTransports`'],
  ['UpstreamOptions', '`upstream`'],
  ['BrokerLifetimes', '`lifetimes`'],
  ['SessionLimits', '`limits`'],
  ['StreamOptions', '`streams`'],
  ['MemoryStoresOptions', '`createMemoryStores`'],
  ['RedisStoresOptions', '`createRedisStores`'],
  ['ServerContext', 'What `createServer` is given']
]

/** The text of `docs/options.md`: what `src/index.ts` exports, as the type checker and the docstrings have it. */
export function optionsPage (): string {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, 'tsconfig.json'), { noEmit: true }, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: () => {}
  })
  const program = ts.createProgram([join(root, 'src/index.ts')], config?.options ?? {})
  const checker = program.getTypeChecker()
  const index = program.getSourceFile(join(root, 'src/index.ts'))
  const module = index && checker.getSymbolAtLocation(index)
  const exported = new Map(
    (module === undefined ? [] : checker.getExportsOfModule(module)).map(symbol => [symbol.name, symbol])
  )
  const sections = documented.map(([name, heading]) => {
    const symbol = exported.get(name)
    if (symbol === undefined) throw new Error(`src/index.ts does not export ${name}.`)
    const rows = checker.getDeclaredTypeOfSymbol(resolved(symbol, checker)).getProperties().map(property =>
      row(property, checker)
    )
    return `## ${heading}\n\n| option | type | meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n`
  })
  return `# Options of the plugins

Every option of the plugins for a larger Fastify app ([embedding.md](embedding.md)). Options with \`?\` are optional.
\`npm run docs\` generates this page from the types and docstrings in \`src\`.

${sections.join('\n')}`
}

function resolved (symbol: ts.Symbol, checker: ts.TypeChecker): ts.Symbol {
  return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
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
