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
const ALONE_FOLDERS = ['stores', 'replicas']
// after others in one process, a document was once fetched too early: the cause is not found
const ALONE_FILES = ['attacks/metadata-documents.test.ts']
// a process takes at most this many: a long one that ends last would run on one core
const MOST_FILES = 12

/** Every test file, from test/. */
export const testFiles = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.test.ts'))
  .sort()

const isAlone = (file: string) => ALONE_FOLDERS.includes(dirname(file)) || ALONE_FILES.includes(file)
const shared = testFiles.filter(file => !isAlone(file))
const folders = new Set(shared.map(file => dirname(file)))

/** The files by folder; the largest group is first, so that none of the long ones is started last. */
export const groups: readonly Group[] = [
  ...share([...folders].flatMap(folder => split(folder))),
  ...testFiles.filter(isAlone).map(file => ({ name: join('test', file), files: [file] }))
]

/** A folder with too many files for one process becomes several groups. */
function split (folder: string): Group[] {
  const files = testFiles.filter(file => dirname(file) === folder)
  const count = Math.ceil(files.length / MOST_FILES)
  return Array.from({ length: count }, (_, part) => ({
    name: count === 1 ? join('test', folder) : join('test', `${folder}-${part + 1}`),
    // every count-th file: neighbours in the alphabet are alike, and so is what they take
    files: files.filter((file, index) => index % count === part && !isAlone(file))
  }))
}

/** Small groups share a process: to start one takes a second or two of a core. */
function share (groups: Group[]): Group[] {
  const all: Group[] = []
  for (const group of groups.toSorted((a, b) => b.files.length - a.files.length)) {
    const room = all.find(({ files }) => files.length + group.files.length <= MOST_FILES)
    if (room === undefined) all.push({ ...group })
    else Object.assign(room, { name: `${room.name}, ${group.name}`, files: [...room.files, ...group.files] })
  }
  return all
}
