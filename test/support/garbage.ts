import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc: unknown = runInNewContext('gc')

/** Frees what nothing holds, at once. */
export function collectGarbage (): void {
  if (typeof gc !== 'function') throw new Error('This process cannot collect its garbage when asked.')
  Reflect.apply(gc, undefined, [])
}
