import { PROVIDER_NAMES, type ProviderName } from '../../oauth/providers/providers.js'

/** What a new project is like. */
export interface Choices {
  /** Absolute path. */
  folder: string
  /** Of the package. */
  name: string
  sdk: typeof SDK_LINES[number]
  login: 'demo' | ProviderName
  /** What the project depends on for this package: a range of versions, or a tarball. */
  source: string
}

/** Lines of the MCP SDK; the first is the default. */
export const SDK_LINES = ['2', '1'] as const

/** Where people may log in; the first is the default. */
export const LOGINS = ['demo', ...PROVIDER_NAMES] as const

export function isSdkLine (text: string): text is Choices['sdk'] {
  return SDK_LINES.some(line => line === text)
}

export function isLogin (text: string): text is Choices['login'] {
  return LOGINS.some(login => login === text)
}
