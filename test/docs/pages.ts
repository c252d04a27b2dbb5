import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/root.js'

/** A block of code on a page. */
export interface Fence {
  page: string
  /** Of the first line of its text. */
  line: number
  language: string
  text: string
}

/** Code in a sentence. */
export interface InlineCode {
  page: string
  line: number
  text: string
}

/** The text of a file of the project. */
export const read = (file: string): string => readFileSync(join(root, file), 'utf8')

const inFolder = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(file => join(folder, file))

/** The texts of all TypeScript in some folders. */
export const sources = (...folders: string[]): string[] =>
  folders.flatMap(inFolder).filter(file => file.endsWith('.ts')).map(read)

/** What people read. */
export const pages = [...readdirSync(root), ...['docs', 'examples', 'deploy'].flatMap(inFolder)].filter(file =>
  file.endsWith('.md')
)

// what people copy, and read the remarks of
const remarked = ['compose.yaml', ...inFolder('deploy').filter(file => /\.(yaml|conf|cfg)$|Caddyfile$/.test(file))]

const FENCE = /^( *)```([^`\n]*)\n([^]*?)^ *```$/gm

/** Every block of code on the pages. */
export function fences (): Fence[] {
  return pages.flatMap(page => {
    const text = read(page)
    return [...text.matchAll(FENCE)].map(({ 1: indent = '', 2: language = '', 3: code = '', index }) =>
      ({ page, line: lineAt(text, index) + 1, language, text: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '') }))
  })
}

/** All code in the sentences of the pages, and in the remarks of what people copy. */
export function inlineCode (): InlineCode[] {
  // keeps the line numbers
  const blank = (text: string) => text.replaceAll(/[^\n]/g, '')
  const prose = pages.filter(page => page !== 'CHANGELOG.md').map(page => ({
    page,
    text: read(page).replaceAll(FENCE, blank)
  }))
  const remarks = remarked.map(page => ({ page, text: read(page).replaceAll(/^[^#\n]+/gm, blank) }))
  return [...prose, ...remarks].flatMap(({ page, text }) =>
    [...text.matchAll(/`((?:[^`\n]|\n(?!\n))+)`/g)].map(({ 1: code = '', index }) => ({
      page,
      line: lineAt(text, index),
      text: code.replaceAll('\n', ' ')
    }))
  )
}

function lineAt (text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
