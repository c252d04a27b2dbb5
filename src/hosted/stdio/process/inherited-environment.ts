/*
 * The one place below the configuration that reads the environment of this process: not for a setting, but for what a
 * program needs to run at all. Everything else in it is ours: secrets, keys, the addresses of stores.
 */

const NAMES = [
  'PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'LC_ALL', 'LC_CTYPE', 'TERM', 'TMPDIR', 'TZ'
]

/** What every program that is started gets of the environment of this process. @param more names besides */
export function inheritedEnvironment (more: readonly string[] = []): Record<string, string> {
  const inherited: Record<string, string> = {}
  for (const name of [...NAMES, ...more]) {
    const value = process.env[name]
    // a function of a shell: it would run whatever it says
    if (value !== undefined && !value.startsWith('()')) inherited[name] = value
  }
  return inherited
}
