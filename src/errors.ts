/**
 * Every error class and code of this service; docs/errors.md lists them all (a test compares the two).
 * The `message` is public: clients get it. The `detail` is private: it is only logged.
 */
export * from './errors/mcp-errors.js'
export * from './errors/oauth-errors.js'
export { passesIn } from './errors/passes-in.js'
export { ConfigError, ServiceError } from './errors/service-error.js'
export type { FailureReason } from './errors/service-error.js'
