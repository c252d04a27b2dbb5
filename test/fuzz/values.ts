import fc from 'fast-check'

/** What every text may be replaced by. Words in braces are filled in when it is sent (`Fill`). */
export const oddText = fc.oneof(
  {
    arbitrary: fc.constantFrom(
      '',
      ' ',
      '0',
      '-1',
      'null',
      'undefined',
      'true',
      '[]',
      '{}',
      '__proto__',
      'constructor',
      'prototype',
      'toString',
      'hasOwnProperty',
      '../../etc/passwd',
      '%00',
      '%zz',
      '\u0000',
      'a\r\nx-injected: 1',
      'a\nb',
      '\ud800',
      '\udfff\ud800',
      '\u202e\ufeff',
      '\ud83d\ude80',
      'é',
      '\u00ff\u0080',
      '<fuzz-x>',
      '"><fuzz-x onload=1>',
      '\'"`;--',
      '#{7*7}',
      '{{long:300}}',
      '{{long:9000}}',
      'https://client.example/%ff',
      'javascript:alert(1)',
      'http://127.0.0.1:9/x',
      '*',
      'a,b',
      'a b',
      '1e999',
      'NaN',
      '2026-07-28',
      '9007199254740993'
    ),
    weight: 3
  },
  { arbitrary: fc.string({ maxLength: 20 }), weight: 1 },
  { arbitrary: fc.string({ unit: 'binary', maxLength: 12 }), weight: 1 }
)

/** What every member of JSON may be replaced by. */
export const oddJson: fc.Arbitrary<unknown> = fc.oneof(
  {
    arbitrary: fc.constantFrom<unknown>(
      null,
      true,
      false,
      0,
      -0,
      -1,
      1.5,
      2 ** 31,
      2 ** 53,
      2 ** 64,
      1e308,
      5e-324,
      [],
      {},
      [[]],
      [null],
      { length: -1 },
      { toString: 1 },
      { then: 1 },
      { toJSON: 1 },
      { constructor: { prototype: { polluted: 1 } } },
      JSON.parse('{"__proto__":{"polluted":1}}'),
      '{{deep:50}}',
      '{{deep:20000}}',
      '{{deep:190}}',
      '{{deepObject:20000}}'
    ),
    weight: 3
  },
  { arbitrary: oddText, weight: 2 },
  { arbitrary: fc.jsonValue({ maxDepth: 2 }), weight: 1 }
)

/** A change of a JSON value: of the member that `at` leads to. */
export interface Change {
  at: number
  how: 'replace' | 'delete' | 'rename' | 'add' | 'wrap'
  name: string
  value: unknown
}

export const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat(40),
  how: fc.constantFrom('replace', 'replace', 'replace', 'delete', 'rename', 'add', 'wrap'),
  name: fc.constantFrom(
    '__proto__',
    'constructor',
    'id',
    'method',
    'params',
    'result',
    'error',
    'x',
    '',
    '_meta',
    'toString'
  ),
  value: oddJson
})

/** A copy of a JSON value with some changes. */
export function changed (value: unknown, changes: readonly Change[]): unknown {
  return changes.reduce<unknown>(
    (before, change) => applied(before, change, { left: change.at % (1 + sizeOf(before)) }),
    value
  )
}

function sizeOf (value: unknown): number {
  return typeof value === 'object' && value !== null
    ? Object.values(value).reduce<number>((sum, member) => sum + 1 + sizeOf(member), 0)
    : 0
}

function applied (value: unknown, change: Change, count: { left: number }): unknown {
  if (count.left-- === 0) {
    return change.how === 'wrap'
      ? [value]
      : change.how === 'add'
        ? added(value, change)
        : change.value
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).flatMap(([name, member]): Array<[string, unknown]> => {
    const isIt = count.left === 0
    if (isIt && change.how === 'delete') {
      count.left--
      return []
    }
    const next = applied(member, change, count)
    return [isIt && change.how === 'rename' ? [change.name, member] : [name, next]]
  })
  return Array.isArray(value) ? entries.map(([, member]) => member) : objectOf(entries)
}

function added (value: unknown, { name, value: member }: Change): unknown {
  return typeof value === 'object' && value !== null ? objectOf([...Object.entries(value), [name, member]]) : member
}

// with a member `__proto__` of its own, too
function objectOf (entries: ReadonlyArray<readonly [string, unknown]>): object {
  return Object.fromEntries(entries)
}

/** JSON, or nearly: what a writer of text gets wrong. */
export const asText: fc.Arbitrary<(value: unknown) => string> = fc.oneof(
  { arbitrary: fc.constant((value: unknown) => String(JSON.stringify(value))), weight: 20 },
  {
    arbitrary: fc
      .constantFrom<(text: string) => string>(
        text => `\ufeff${text}`,
      text => text.slice(0, -1),
      text => text + text,
      text => `[${text}]`,
      text => `[${text},${text}]`,
      text => text.replace(/^\{/, '{"id":1,"id":"2",'),
      text => text.replace(/^\{/, '{"method":"ping","method":"tools/list",'),
      text => text.replace(/:(\d+)/, ':$1e999'),
      text => text.replace(/:(\d+)/, ':123456789012345678901234567890'),
      () => '',
      text => text.replaceAll('"', "'"),
      text => `${' '.repeat(2000)}${text}`,
      text => text.replace(/"(\w)/, '"\\ud800$1'),
      text => `${text},`,
      () => '{{deep:50000}}',
      () => '{{long:300000}}',
      text => `{"__proto__":${text}}`
      )
      .map(broken => (value: unknown) => broken(String(JSON.stringify(value)))),
    weight: 2
  }
)
