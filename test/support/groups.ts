import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './root.js'

/** Test files that one process runs, one after another. */
export interface Group {
  name: string
  /** Paths from test/. */
  files: string[]
}

// each file of these has a process to itself: together they do not end (they kill Redis in the middle of commands)
const ALONE = ['stores', 'replicas']
// a process takes at most this many: a long one that ends last would run on one core
const MOST_FILES = 12

/** Every test file, from test/. */
export const testFiles = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.test.ts'))
  .sort()

const folders = new Set(testFiles.map(file => dirname(file)))

/** The files by folder; the largest group is first, so that none of the long ones is started last. */
export const groups: readonly Group[] = [
  ...share([...folders].filter(folder => !ALONE.includes(folder)).flatMap(folder => split(folder))),
  ...testFiles.filter(file => ALONE.includes(dirname(file))).map(file => ({ name: join('test', file), files: [file] }))
]

/** A folder with too many files for one process becomes several groups. */
function split (folder: string): Group[] {
  const files = testFiles.filter(file => dirname(file) === folder)
  const count = Math.ceil(files.length / MOST_FILES)
  return Array.from({ length: count }, (_, part) => ({
    name: count === 1 ? join('test', folder) : join('test', `${folder}-${part + 1}`),
    // every count-th file: neighbours in the alphabet are alike, and so is what they take
    files: files.filter((_, index) => index % count === part)
  }))
}

/** Small groups share a process: to start one takes a second or two of a core. */
function share (groups: Group[]): Group[] {
  const shared: Group[] = []
  for (const group of groups.toSorted((a, b) => b.files.length - a.files.length)) {
    const room = shared.find(({ files }) => files.length + group.files.length <= MOST_FILES)
    if (room === undefined) shared.push({ ...group })
    else Object.assign(room, { name: `${room.name}, ${group.name}`, files: [...room.files, ...group.files] })
  }
  return shared
}
