#!/usr/bin/env node
/* `npm create fastify-mcp-oauth`: the command `fastify-mcp-oauth init`. */
process.argv.splice(2, 0, 'init')
await import(new URL('dist/cli.js', import.meta.resolve('fastify-mcp-oauth/package.json')).href)
