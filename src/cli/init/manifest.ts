import { readFileSync } from 'node:fs'
import { parseRecord } from '../../parse-record.js'
import type { Choices } from './choices.js'

type Ranges = Readonly<Record<string, string>>

const SDK = { 1: '@modelcontextprotocol/sdk', 2: '@modelcontextprotocol/server' } as const
// the test kit is made of the client of SDK 1.x
const FOR_DEVELOPMENT = ['@types/node', 'fastify', 'tsx', 'typescript']

/** The text of a new project's package.json. It takes the versions with which this package is tested. */
export function manifestText ({ name, sdk, source }: Choices): string {
  const own = readOwnManifest()
  const range = (dependency: string): [string, string] => {
    const found = own.dependencies[dependency] ?? own.peerDependencies[dependency] ?? own.devDependencies[dependency]
    if (found === undefined) throw new Error(`The package.json of this package has no ${dependency}.`)
    return [dependency, found]
  }
  const dependencies: Array<[string, string]> = [[own.name, source], range(SDK[sdk]), range('zod')]
  const devDependencies = [...sdk === '1' ? [] : [range(SDK[1])], ...FOR_DEVELOPMENT.map(range)]
  return `${JSON.stringify({
    name,
    version: '0.1.0',
    private: true,
    type: 'module',
    engines: own.engines,
    scripts: {
      build: 'tsc -p tsconfig.build.json',
      start: `npm run --silent build && ${own.name} serve --module dist/server.js`,
      dev: `tsx watch node_modules/${own.name}/dist/cli.js serve --module src/server.ts`,
      test: 'tsc && node --import tsx --test test/*.test.ts'
    },
    dependencies: Object.fromEntries(dependencies.sort(byName)),
    devDependencies: Object.fromEntries(devDependencies.sort(byName))
  }, null, 2)}\n`
}

interface Manifest {
  name: string
  engines: Ranges
  dependencies: Ranges
  devDependencies: Ranges
  peerDependencies: Ranges
}

function readOwnManifest (): Manifest {
  return parseRecord<Manifest>(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))
}

function byName ([a = '']: readonly string[], [b = '']: readonly string[]): number {
  return a.localeCompare(b)
}
