/** Whether the host name of a URL is this machine (RFC 8252 7.3; `localhost` too, as every MCP client uses it). */
export function isLoopbackHost (hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
}

/** Whether a URL leads to this machine: what is open there is open to nobody else. */
export function isLoopbackUrl (url: string | URL): boolean {
  return isLoopbackHost(new URL(url).hostname)
}
