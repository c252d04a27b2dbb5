import * as demo from '../../src/demo/index.js'
import * as api from '../../src/index.js'
import * as kit from '../../src/testing/index.js'
import { commands } from './commands.js'
import { fences, pages, sources } from './pages.js'

/** A name that code imports from a module. */
interface Import {
  name: string
  module: string
}

// by module, the names that code must not use without importing them
const OURS: Readonly<Record<string, object>> = {
  'fastify-mcp-oauth': api,
  'fastify-mcp-oauth/testing': kit,
  'fastify-mcp-oauth/demo': demo
}

/** The imports of a piece of TypeScript or JavaScript. */
export function importsIn (code: string): Import[] {
  return [...code.matchAll(/^import (?:type )?([^']+) from '([^']+)'$/gm)].flatMap(([, names = '', module = '']) =>
    names.split(/[{},]/).map(name => name.trim().replace(/^type /, '')).filter(name => name !== '').map(name => ({
      name,
      module
    }))
  )
}

/** Whether a block consists of imports alone, and each stands in a file that is type-checked. */
export function importsAlone (code: string): boolean {
  if (code.replaceAll(/^import [^']+ from '[^']+'$/gm, '').trim() !== '') return false
  const checked = new Set(sources('test', 'examples').flatMap(importsIn).map(importKey))
  return importsIn(code).every(one => checked.has(importKey(one)))
}

/** What the code of the pages in docs/ needs, and its page does not show: imports, and packages to install. */
export function notShown (): string[] {
  return pages.filter(page => page.startsWith('docs/')).flatMap(page => {
    const code = fences().filter(fence => fence.page === page && ['ts', 'js'].includes(fence.language))
      .map(({ text }) => text).join('\n')
    return [...missingImports(code), ...missingPackages(page, code)].map(line => `${page}: ${line}`)
  })
}

function missingImports (code: string): string[] {
  const imported = new Set(importsIn(code).map(importKey))
  const withoutTexts = code.replaceAll(/'[^'\n]*'/g, '')
  return Object.entries(OURS).flatMap(([module, exported]) =>
    Object.keys(exported).filter(name => new RegExp(`\\b${name}\\b`).test(withoutTexts))
      .filter(name => !imported.has(importKey({ name, module })))
      .map(name => `import { ${name} } from '${module}'`)
  )
}

function missingPackages (page: string, code: string): string[] {
  const installed = commands().filter(({ where, text }) =>
    where.startsWith(`${page}:`) && text.startsWith('npm install ')
  )
    .flatMap(({ text }) => text.split(' ').slice(2))
  const packages = new Set(importsIn(code).map(({ module }) => packageName(module)))
  return [...packages].filter(name => !installed.includes(name)).map(name => `npm install ${name}`)
}

function importKey ({ name, module }: Import): string {
  return `${module} ${name}`
}

function packageName (module: string): string {
  return module.split('/').slice(0, module.startsWith('@') ? 2 : 1).join('/')
}
