import { join } from 'node:path'
import ts from 'typescript'
import { root } from '../support/root.js'

/** What the package exports under one or more names, as its docstring describes it. */
export interface DocumentedExport {
  /** What it is imported from, such as `fastify-mcp-oauth`. */
  module: string
  /** `default` is one of them. */
  names: string[]
  documentation: string
  /** The texts of its `@example` tags. */
  examples: string[]
  /** Members of it that have no docstring. */
  unexplained: string[]
}

/** The options of a `tsconfig.json`. @param file path from the checkout */
export function readCompilerOptions (file: string): ts.CompilerOptions {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, file), { noEmit: true }, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: () => {}
  })
  if (config === undefined) throw new Error(`${file} cannot be read.`)
  return config.options
}

/** The package's modules, and the file of each: by the `paths` with which its own tests import them. */
export const modules: ReadonlyMap<string, string> = new Map(
  Object.entries(readCompilerOptions('tsconfig.json').paths ?? {})
    .map(([name, [file = '']]) => [name, join(root, file)])
)

/** What a file exports, by name; re-exports are followed to what they stand for. */
export function findExports (program: ts.Program, file: string): Map<string, ts.Symbol> {
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(file)
  const module = source && checker.getSymbolAtLocation(source)
  const exported = module === undefined ? [] : checker.getExportsOfModule(module)
  return new Map(exported.map(symbol => [
    symbol.name,
    (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
  ]))
}

/** Every export of the package. */
export function readExports (program: ts.Program): DocumentedExport[] {
  const checker = program.getTypeChecker()
  return [...modules].flatMap(([module, file]) => {
    const names = new Map<ts.Symbol, string[]>()
    for (const [name, symbol] of findExports(program, file)) names.set(symbol, [...names.get(symbol) ?? [], name])
    return [...names].map(([symbol, names]) => ({
      module,
      names,
      documentation: ts.displayPartsToString(symbol.getDocumentationComment(checker)),
      examples: symbol.getJsDocTags(checker).filter(({ name }) => name === 'example')
        .map(({ text }) => ts.displayPartsToString(text)),
      unexplained: findMembers(checker.getDeclaredTypeOfSymbol(symbol))
        .filter(member => ts.displayPartsToString(member.getDocumentationComment(checker)) === '')
        .map(({ name }) => name)
    }))
  })
}

/** What users see of an interface or a class, as far as this package declares it. */
function findMembers (type: ts.Type): ts.Symbol[] {
  if (!type.isClassOrInterface()) return []
  return type.getProperties().filter(({ valueDeclaration }) => {
    if (valueDeclaration?.getSourceFile().fileName.startsWith(join(root, 'src/')) !== true) return false
    const name = ts.getNameOfDeclaration(valueDeclaration)
    return name !== undefined && !ts.isPrivateIdentifier(name)
  })
}
