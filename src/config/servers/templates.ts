const OF_THE_PERSON: ReadonlySet<string> = new Set(['subject', 'issuer', 'personId', 'upstreamAccessToken'])

/** Whether a hosted program puts what it knows of the person in the place of `${name}`: then it is not a variable. */
export function isTemplate (name: string): boolean {
  return name.startsWith('claims.') || OF_THE_PERSON.has(name)
}
