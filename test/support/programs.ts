import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where a program is on PATH. */
export function find (program: string): string | undefined {
  return (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, program)).find(isExecutable)
}

/** What is said where a program is not on PATH: how it gets there. */
export function lacking (program: string): string {
  return `${program} is not on PATH. Install it: apt-get install -y --no-install-recommends ${program}`
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
