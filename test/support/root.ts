import { extname, resolve } from 'node:path'

/** The checkout: npm runs its scripts there, and tap its tests. */
export const root = process.cwd()

/**
 * Arguments for Node.js that run a file of the project beside the one that asks: compiled where that is (`npm test`),
 * and as it stands otherwise.
 * @param file path from the checkout, without its ending
 */
export function runnable (file: string): string[] {
  const ending = extname(import.meta.filename)
  const path = resolve(import.meta.dirname, '../..', file + ending)
  return ending === '.ts' ? ['--import', 'tsx', path] : [path]
}
