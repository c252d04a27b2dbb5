/*
 * Counts the steps of walks: each element that an iterator of a Map, Set or array gives, and that `forEach`, `filter`,
 * `map`, `sort` and the like are called for. Work that grows with what is kept shows here, on any machine.
 */
const ITERABLES = [new Map(), new Set(), []]
const ARRAY_METHODS = ['filter', 'map', 'sort', 'forEach', 'find', 'some', 'every', 'reduce', 'indexOf', 'includes']

interface Patch {
  undo: () => void
}

let counted = 0

function patch (holder: object, name: string, steps: (self: unknown) => number): Patch {
  const original: unknown = Reflect.get(holder, name)
  if (typeof original !== 'function') throw new Error(`There is no ${name}`)
  Reflect.defineProperty(holder, name, {
    configurable: true,
    writable: true,
    value: function (this: unknown, ...args: unknown[]): unknown {
      counted += steps(this)
      return Reflect.apply(original, this, args)
    }
  })
  return {
    undo: () => {
      Reflect.defineProperty(holder, name, { configurable: true, writable: true, value: original })
    }
  }
}

const sizeOf = (self: unknown): number =>
  Array.isArray(self) ? self.length : self instanceof Map || self instanceof Set ? self.size : 0

/** Runs something. @returns how many steps its walks took */
export async function countSteps (run: () => unknown): Promise<number> {
  const patches = [
    ...ITERABLES.map(iterable => patch(Reflect.getPrototypeOf(iterable[Symbol.iterator]()) ?? {}, 'next', () => 1)),
    patch(Map.prototype, 'forEach', sizeOf),
    patch(Set.prototype, 'forEach', sizeOf),
    ...ARRAY_METHODS.map(name => patch(Array.prototype, name, sizeOf))
  ]
  counted = 0
  try {
    await run()
    return counted
  } finally {
    for (const { undo } of patches) undo()
  }
}
