import { isDeepStrictEqual } from 'node:util'
import { getMember, isObject } from '../members.js'
import type { PolicyRules } from './rules.js'

// whose members are rules of their own
const NAMED = ['roles', 'scopes']

/** What is different in other rules, for operators: `roles.reader changed`, `login added`. */
export function describeChanges (before: PolicyRules, after: PolicyRules): string[] {
  return compare(before, after).flatMap(({ name, was, is, what }) =>
    NAMED.includes(name) && isObject(was) && isObject(is)
      ? compare(was, is).map(inner => `${name}.${inner.name} ${inner.what}`)
      : [`${name} ${what}`]
  )
}

function compare (before: object, after: object) {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap(name => {
    const was = getMember(before, name)
    const is = getMember(after, name)
    const what = was === undefined ? 'added' : is === undefined ? 'removed' : 'changed'
    return isDeepStrictEqual(was, is) ? [] : [{ name, was, is, what }]
  })
}
