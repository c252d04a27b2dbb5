import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import ts from 'typescript'

export const root = resolve(import.meta.dirname, '..')

/**
 * Compiles `src`, `bench` and `test/support` file by file, as `npm run build` would, into a temporary folder of the
 * same layout: what is measured is plain JavaScript without a loader.
 * @returns the folder
 */
export function build (): string {
  const out = mkdtempSync(join(tmpdir(), 'mcp-bench-'))
  for (const folder of ['src', 'bench', 'test/support']) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (file.includes('node_modules')) continue
      const from = join(root, folder, file)
      const to = join(out, folder, file)
      mkdirSync(dirname(to), { recursive: true })
      if (file.endsWith('.ts')) writeFileSync(to.replace(/\.ts$/, '.js'), compile(from))
      else if (file.endsWith('.js')) cpSync(from, to)
    }
  }
  writeFileSync(join(out, 'package.json'), '{ "type": "module" }')
  symlinkSync(join(root, 'node_modules'), join(out, 'node_modules'))
  symlinkSync(join(root, 'bench/peers/node_modules'), join(out, 'bench/peers/node_modules'))
  return out
}

function compile (file: string): string {
  return ts.transpileModule(readFileSync(file, 'utf8'), {
    fileName: file,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true }
  }).outputText
}
