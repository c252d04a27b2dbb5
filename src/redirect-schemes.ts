/** Private-use URI schemes (RFC 8252 7.1) of applications that are known to use them in redirect URIs. */
export const defaultRedirectSchemes = ['cursor', 'vscode', 'vscode-insiders', 'windsurf', 'claude', 'com.raycast', 'warp', 'zed'] as const
