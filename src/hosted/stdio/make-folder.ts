import { lstat, mkdir } from 'node:fs/promises'
import { sep } from 'node:path'

/**
 * Makes a person's folder, which only this service may read. One that exists is taken as it is, but a link is not: it
 * may lead to another person's.
 * @param begin its text before what names the person
 * @throws {Error} if a part of the path from there on is not a folder
 */
export async function makeFolder (begin: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  for (let end = folder.indexOf(sep, begin.length); ; end = folder.indexOf(sep, end + 1)) {
    const part = end === -1 ? folder : folder.slice(0, end)
    if (!(await lstat(part)).isDirectory()) throw new Error(`${part} is not a folder`)
    if (end === -1) return
  }
}
