import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** Makes every function of the compiled files in a folder add its name to `globalThis.entered` when it is entered. */
export function instrument (folder: string): void {
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.js')) continue
    const path = join(folder, file)
    writeFileSync(path, instrumentText(file, readFileSync(path, 'utf8')))
  }
}

interface Insertion { at: number, text: string }

function instrumentText (file: string, text: string): string {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true)
  const insertions: Insertion[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      insertions.push(...note(node, node.body, source))
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  // from the end, so that earlier positions stay true
  return insertions.sort((a, b) => b.at - a.at)
    .reduce((whole, { at, text }) => whole.slice(0, at) + text + whole.slice(at), text)
}

function note (node: ts.Node, body: ts.Node, source: ts.SourceFile): Insertion[] {
  const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
  const name = `${source.fileName}:${line + 1} ${nameFunction(node, source)}`
  const call = `globalThis.entered?.push(${JSON.stringify(name)})`
  if (ts.isBlock(body)) return [{ at: body.getStart(source) + 1, text: `${call};` }]
  return [{ at: body.getStart(source), text: `(${call}, ` }, { at: body.end, text: ')' }]
}

function nameFunction (node: ts.Node, source: ts.SourceFile): string {
  if (ts.isConstructorDeclaration(node)) return `new ${node.parent.name?.text ?? ''}`
  const named = ts.isArrowFunction(node) || ts.isFunctionExpression(node) ? node.parent : node
  return 'name' in named && isNode(named.name) ? named.name.getText(source) : '=>'
}

function isNode (value: unknown): value is ts.Node {
  return typeof value === 'object' && value !== null && 'getText' in value
}
