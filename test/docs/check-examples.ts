import { join } from 'node:path'
import ts from 'typescript'
import { root } from '../support/root.js'
import { modules, readCompilerOptions, readExports, type DocumentedExport } from './exports.js'

/** An export, with what its examples import: the module and the name. */
interface ExportWithExamples extends DocumentedExport {
  title: string
  imports: string[][]
}

// as if the examples were files here: modules are looked up only from folders that exist
const FOLDER = join(root, 'examples')

// the embedder's own files, which examples import
const AROUND = {
  'server.d.ts': `import type { CreateServer } from 'fastify-mcp-oauth'
export declare const createServer: CreateServer`,
  'options.d.ts': `import type { BrokerModeOptions } from 'fastify-mcp-oauth'
export declare const options: BrokerModeOptions`,
  'tokens.d.ts': `import type { VerifyAccessToken } from 'fastify-mcp-oauth'
export declare const verifyAccessToken: VerifyAccessToken`,
  'app.d.ts': `import type { FastifyInstance } from 'fastify'
import type { UpstreamOptions } from 'fastify-mcp-oauth'
export declare function buildApp (upstream?: UpstreamOptions): Promise<FastifyInstance>`
}

/** The code of an example; undefined if it is not one block of TypeScript. */
export function codeOf (example: string): string | undefined {
  return /^```ts\n((?:(?!```)[^])+)\n```$/.exec(example.trim())?.[1]
}

/**
 * Type-checks every example of the package's exports, with the compiler options of a project that has installed it.
 * @param others more code to check, by a title
 * @returns what the compiler says of each, by the export's title
 */
export function checkExamples (
  others: Readonly<Record<string, string>>
): { exported: ExportWithExamples[], faults: Map<string, string[]> } {
  const options: ts.CompilerOptions = {
    ...readCompilerOptions('test/package/consumer/tsconfig.json'),
    verbatimModuleSyntax: true,
    paths: Object.fromEntries([...modules].map(([name, file]) => [name, [file]]))
  }
  const files = new Map(Object.entries(AROUND).map(([name, text]) => [join(FOLDER, name), text]))
  const host = createHost(options, files)
  const documented = readExports(ts.createProgram([...modules.values()], options, host))

  const titles = new Map<string, string>()
  const add = (title: string, code: string): string => {
    const file = join(FOLDER, `example-${titles.size}.ts`)
    titles.set(file, title)
    files.set(file, code)
    return file
  }
  const placed = documented.map(one => {
    const title = `${one.names.join(', ')} of ${one.module}`
    return { ...one, title, files: one.examples.map(example => add(title, codeOf(example) ?? '')) }
  })
  for (const [title, code] of Object.entries(others)) add(title, code)

  const program = ts.createProgram([...titles.keys()], options, host)
  const faults = new Map<string, string[]>()
  for (const [file, title] of titles) faults.set(title, [...faults.get(title) ?? [], ...findFaults(program, file)])
  return {
    exported: placed.map(({ files, ...one }) => ({ ...one, imports: files.map(file => readImports(program, file)) })),
    faults
  }
}

/** Reads some files from memory, and each other file once for all programs. */
function createHost (options: ts.CompilerOptions, files: ReadonlyMap<string, string>): ts.CompilerHost {
  const host = ts.createCompilerHost(options)
  const parsed = new Map<string, ts.SourceFile | undefined>()
  return {
    ...host,
    fileExists: name => files.has(name) || host.fileExists(name),
    readFile: name => files.get(name) ?? host.readFile(name),
    getSourceFile: (name, languageVersion) => {
      const text = files.get(name)
      if (text !== undefined) return ts.createSourceFile(name, text, languageVersion)
      if (!parsed.has(name)) parsed.set(name, host.getSourceFile(name, languageVersion))
      return parsed.get(name)
    }
  }
}

function findFaults (program: ts.Program, file: string): string[] {
  const source = program.getSourceFile(file)
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(fault =>
    ts.flattenDiagnosticMessageText(fault.messageText, '\n'))
}

function readImports (program: ts.Program, file: string): string[] {
  const source = program.getSourceFile(file)
  const imports = source === undefined ? [] : source.statements.filter(ts.isImportDeclaration)
  return imports.flatMap(({ moduleSpecifier, importClause }) => {
    const module = ts.isStringLiteral(moduleSpecifier) ? moduleSpecifier.text : ''
    const bindings = importClause?.namedBindings
    const named = bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements : []
    const names = named.map(({ name, propertyName = name }) => propertyName.text)
    return [...importClause?.name === undefined ? [] : ['default'], ...names].map(name => `${module} ${name}`)
  })
}
