/*
 * package.json is that of a clone and that of the package. A clone runs the service with what `npm ci --omit=dev`
 * installs: the compiler, and SDK 1.x for the server that is shipped. An app that installs the package has its own.
 *
 * `npm pack` makes the manifest that of the package, and restores it; these are the only differences.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const ONLY_IN_A_CLONE = ['@modelcontextprotocol/sdk', 'typescript']
// of the package that npm runs this for
const FILE = 'package.json'

const commands = {
  publish: () => { write(move('dependencies', 'devDependencies')) },
  clone: () => { write(move('devDependencies', 'dependencies')) },
  print: () => { process.stdout.write(toText(move('dependencies', 'devDependencies'))) },
  refuse: () => {
    process.stderr.write('Publish the tarball, whose package.json is that of the package: npm pack, npm publish FILE\n')
    process.exitCode = 1
  }
}

commands[process.argv[2]]()

function move (from, to) {
  const manifest = JSON.parse(readFileSync(FILE, 'utf8'))
  for (const name of ONLY_IN_A_CLONE) {
    const range = manifest[from][name]
    if (range === undefined) continue
    manifest[to] = sorted({ ...manifest[to], [name]: range })
    delete manifest[from][name]
  }
  return manifest
}

function sorted (packages) {
  return Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a < b ? -1 : 1))
}

function write (manifest) {
  writeFileSync(FILE, toText(manifest))
}

function toText (manifest) {
  return `${JSON.stringify(manifest, null, 2)}\n`
}
