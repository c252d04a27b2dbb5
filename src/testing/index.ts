/** What tests of an app around this one import, from `fastify-mcp-oauth/testing`. */
export { assertPluggable, type PluggableOptions } from './assert-pluggable.js'
