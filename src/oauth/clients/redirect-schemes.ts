/** Private-use URI schemes (RFC 8252 7.1) of applications that are known to use them in redirect URIs. */
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

/** Schemes that run code, read files or lead to no application: no redirect URI has them. */
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

/** Whether redirect URIs may be allowed to have this scheme (RFC 3986 3.1, in lower case); http and https are not private-use. */
export function isRedirectScheme (scheme: string): boolean {
  return /^[a-z][a-z0-9+.-]*$/.test(scheme) && !neverRedirectSchemes.has(scheme) && scheme !== 'http' &&
    scheme !== 'https'
}
