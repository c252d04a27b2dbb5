/** Private-use URI schemes (RFC 8252 7.1) of applications that use them in redirect URIs. */
export const defaultRedirectSchemes = [
  'cursor',
  'vscode',
  'vscode-insiders',
  'windsurf',
  'claude',
  'com.raycast',
  'warp',
  'zed'
] as const

/** Schemes that run code, read files or lead to no application: never allowed in redirect URIs. */
const neverRedirectSchemes: ReadonlySet<string> = new Set([
  'javascript',
  'data',
  'vbscript',
  'file',
  'blob',
  'about',
  'view-source',
  'ws',
  'wss',
  'ftp',
  'mailto',
  'tel'
])

/** Whether a scheme (RFC 3986 3.1, in lower case) may be allowed for redirect URIs, besides http and https. */
export function isRedirectScheme (scheme: string): boolean {
  return /^[a-z][a-z0-9+.-]*$/.test(scheme) && !neverRedirectSchemes.has(scheme) && scheme !== 'http' &&
    scheme !== 'https'
}
