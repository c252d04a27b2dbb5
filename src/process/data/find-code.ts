/** What the operating system has against something, such as `EACCES`. */
export function findCode (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? String(error.code) : error.message
}
