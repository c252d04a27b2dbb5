/**
 * Where a well-known document is looked for.
 * @param name of the document, such as `oauth-authorization-server`
 * @param path of the MCP endpoint it is about; empty: the service itself
 */
export type WellKnownPaths = (name: string, path: string) => readonly string[]

/**
 * In the service's own context: put before an endpoint's path as RFC 8414 and 9728 have it, and after it as OpenID
 * Connect Discovery has it.
 */
export const ownPaths: WellKnownPaths = (name, path) =>
  path === '' ? [`/.well-known/${name}`] : [`/.well-known/${name}${path}`, `${path}/.well-known/${name}`]

/**
 * At the root of an origin, for a service that is under a path there: put before that path (RFC 8414 3.1, RFC 9728
 * 3.1).
 * @param forOrigin whether the documents without any path are this service's, too: clients fall back to them
 */
export function rootPaths (servicePath: string, forOrigin: boolean): WellKnownPaths {
  return (
    name,
    path
  ) => [`/.well-known/${name}${servicePath}${path}`, ...forOrigin && path === '' ? [`/.well-known/${name}`] : []]
}
