import { parseEnv } from 'node:util'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../support/root.js'

/** The settings of a page in docs/upstreams. */
export interface Recipe {
  page: string
  /** Which of its blocks of settings, in order. Default: the first. */
  blocks?: readonly number[]
  /** What the page says in words to leave out. */
  without?: readonly string[]
}

/** The settings of a recipe, as they stand on its page. */
export function readRecipe ({ page, blocks = [0], without = [] }: Recipe): Record<string, string> {
  const text = readFileSync(join(root, 'docs/upstreams', page), 'utf8')
  const found = [...text.matchAll(/^```dotenv\n([^]*?)^```$/gm)].map(([, block = '']) => block)
  const chosen = blocks.map(index => {
    const block = found[index]
    if (block === undefined) throw new Error(`${page} has no block ${index} of settings.`)
    return block
  })
  const settings = Object.entries(parseEnv(chosen.join('')))
  return Object.fromEntries(settings.flatMap(([name, value = '']) => without.includes(name) ? [] : [[name, value]]))
}

/**
 * The same with what the reader fills in: values that have a … in them, and words in capitals. Nothing else changes, so
 * what works in the test works by the page alone.
 */
export function fillIn (recipe: Recipe, values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(readRecipe(recipe)).map(([name, value]) => {
      const filled = value.includes('…') ? values[name] : value
      if (filled === undefined) throw new Error(`${recipe.page}: nothing fills in ${name}=${value}.`)
      return [name, filled.replace(/YOUR_[A-Z]+|TENANT_ID|https:\/\/login\.example\.com/g, word => values[word] ?? word)]
    })
  )
}
