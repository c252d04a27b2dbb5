import type * as z from 'zod'
import { getMember } from '../../members.js'
import { quoted } from '../../validation/check.js'
import type { Path } from './document.js'

type Issue = z.core.$ZodIssue

/** A fault of the rules: the path that it is about, and a sentence about it. */
interface DescribedIssue {
  path: Path
  says: string
}

/** What the schema found, in sentences. */
export function describeIssue (issue: Issue, whole: unknown): DescribedIssue[] {
  const path = issue.path.map(step => typeof step === 'number' ? step : String(step))
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({
      path: [...path, key],
      says: `${formatPath([...path, key])} is not known; ${instead(key, issue.message.split(' '))}`
    }))
  }
  const value = path.reduce<unknown>((at, step) => getMember(at, String(step)), whole)
  if (issue.code === 'invalid_union') return describeUnion(issue, value, whole)
  if (issue.code === 'invalid_key') {
    const [inner] = issue.issues
    const name = path.at(-1)
    return [{ path, says: `${formatPath(path)}: the name ${quoted(name)} is not valid; it takes ${inner?.message}` }]
  }
  return [{ path, says: `${formatPath(path) || 'the file'} ${describeValue(value)}; it takes ${issue.message}` }]
}

/** `login`: a rule or a list of them. What is said is about the one that was meant. */
function describeUnion (issue: z.core.$ZodIssueInvalidUnion, value: unknown, whole: unknown): DescribedIssue[] {
  const [one = [], several = []] = issue.errors
  const meant = Array.isArray(value) ? several : one
  return meant.flatMap(inner => describeIssue({ ...inner, path: [...issue.path, ...inner.path] }, whole))
}

/** `roles.reader.tools[0]`; names that are not plain are in quotes. */
function formatPath (path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`
    const name = /^[\w:-]{1,100}$/.test(step) ? step : quoted(step)
    return text === '' ? name : `${text}.${name}`
  }, '')
}

function describeValue (value: unknown): string {
  if (value === undefined || value === null) return 'is empty'
  if (Array.isArray(value)) return value.length === 0 ? 'is an empty list' : 'is a list'
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'is an empty object' : 'is an object'
  return `is ${typeof value === 'bigint' ? String(value) : quoted(value)}`
}

/** What the writer of an unknown name may have meant. */
function instead (name: string, known: readonly string[]): string {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z]/g, '')
  const distances = known.map(other => ({ other, far: countEdits(plain(name), plain(other)) }))
  const [nearest] = distances.toSorted((a, b) => a.far - b.far)
  return nearest !== undefined && nearest.far <= 2 && nearest.far < nearest.other.length / 2
    ? `do you mean ${nearest.other}?`
    : `known are: ${known.join(', ')}`
}

/** Levenshtein's distance; long names are far from all. */
function countEdits (one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2) return Infinity
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...one].entries()) {
    const next = [i + 1]
    for (const [j, otherLetter] of [...other].entries()) {
      const replaced = (row[j] ?? 0) + (letter === otherLetter ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? Infinity
}
