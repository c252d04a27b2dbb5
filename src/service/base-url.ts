import { ConfigError } from '../errors.js'

/**
 * The URL under which clients see a context of an app, without a trailing slash.
 * @param publicUrl the same of the app's root
 * @param prefix that of the context
 * @throws {ConfigError} if it is not such a URL
 */
export function joinBaseUrl (publicUrl: string, prefix: string): string {
  const url = URL.canParse(publicUrl) ? new URL(publicUrl) : undefined
  if (
    url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== ''
  ) {
    throw new ConfigError(
      `publicUrl is ${
        JSON.stringify(publicUrl)
      }; it takes the URL of the app's root as clients see it, such as https://mcp.example.com.`
    )
  }
  if (/[:*]/.test(prefix)) {
    throw new ConfigError(
      `The prefix is ${JSON.stringify(prefix)}; an MCP service has one URL, so it takes no parameters.`
    )
  }
  return url.origin + url.pathname.replace(/\/$/, '') + prefix.replace(/\/$/, '')
}
