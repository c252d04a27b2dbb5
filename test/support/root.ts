import { resolve } from 'node:path'

/** The checkout. */
export const root = resolve(import.meta.dirname, '../..')

/**
 * Arguments for Node.js that run a TypeScript file of the project.
 * @param file path from the checkout, without its ending
 */
export function runnable (file: string): string[] {
  return ['--import', import.meta.resolve('tsx'), resolve(root, `${file}.ts`)]
}
