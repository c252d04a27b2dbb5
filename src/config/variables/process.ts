import { Type } from '@sinclair/typebox'
import { LOOPBACK_ADDRESS } from '../../loopback.js'
import { DEFAULT_KEY_PREFIX } from '../../stores/redis/keys.js'
import { DEFAULT_PORT } from '../default-port.js'
import { choice, flag, list, port, text } from './kinds.js'

/** The process: where it listens, who reaches it, where it keeps things. */
export const processVariables = {
  NODE_ENV: text('production: no demo upstream, and a missing setting stops the start', { default: 'development' }),
  PORT: port('Port to listen on', { default: DEFAULT_PORT }),
  HOST: text('Address to listen on; 0.0.0.0 in a container', { default: LOOPBACK_ADDRESS }),
  PUBLIC_URL: Type.Optional(text(
    'The URL that clients see, such as https://mcp.example.com or, with a path, https://example.com/tools. Default ' +
      'outside production: http://localhost:PORT'
  )),
  PUBLIC_TOOLS: flag('Whether the public page at / lists the tools of the server; if the policy has roles or ' +
    'public, only what is public', false),
  LOG_LEVEL: choice('Minimum level to log', 'info', [
    'fatal',
    'error',
    'warn',
    'info',
    'debug',
    'trace',
    'silent'
  ]),
  TRUST_PROXY: text('Whose X-Forwarded-* headers to trust: true, false, a number of hops, or addresses', {
    default: 'false'
  }),
  HTTPS_PROXY: Type.Optional(text(
    'Proxy for requests to the internet, to the upstream and for what clients publish: http://user:password@host:port. ' +
      'It resolves names, so it must not let this service reach internal hosts. Default: none'
  )),
  NO_PROXY: list('Hosts that are reached without HTTPS_PROXY: names, with all names under them; loopback always is'),
  ADMIN_TOKEN: Type.Optional(text(
    'Shows operators how recent logins went, at /admin/attempts and by the command fastify-mcp-oauth attempts; ' +
      'at least 16 characters. Default: nothing is recorded, and there is no such page'
  )),
  ALLOWED_ORIGINS: list(
    'Browser origins that may call the MCP endpoints, besides PUBLIC_URL: https://app.example.com, ' +
      'https://*.example.com (all names under it, at that port), those of extensions and webviews as they are ' +
      '(chrome-extension://…, vscode-webview://…); * for any'
  ),
  ALLOWED_HOSTS: list(
    'Host headers that the MCP endpoints accept, besides that of PUBLIC_URL; the default port may be there or not; ' +
      '* for any'
  ),
  REDIS_URL: Type.Optional(text(
    'Redis that all replicas share: redis://user:password@host:port/db, or rediss:// for TLS; with Sentinels ' +
      'redis+sentinel://user:password@host:port,host:port/name/db. ' +
      'Default: this process keeps everything itself, as DATA_DIR says'
  )),
  REDIS_CLUSTER: flag(
    'Whether REDIS_URL is a Redis Cluster: one of its nodes, or its configuration endpoint',
    false
  ),
  REDIS_KEY_PREFIX: text('Prefix of every key and channel in Redis', { default: DEFAULT_KEY_PREFIX }),
  DATA_DIR: Type.Optional(text(
    'Directory in which this process alone keeps its state, if there is no Redis, and the key that encrypts it. ' +
      'After a restart, people are still logged in, and sessions continue. memory: nothing is kept. With REDIS_URL, ' +
      'the state is in Redis. Default: .data outside production; in production, memory'
  )),
  ENCRYPTION_KEYS: Type.Optional(text(
    'Keys that replicas share; they encrypt stored upstream tokens, the requestState that clients send back, and ' +
      'what replicas hand over to each other. As id:base64url of 32 bytes; the first encrypts, all decrypt ' +
      '(comma-separated). Default: the key in DATA_DIR, which is made at the first start; in memory, a key of this ' +
      'process'
  )),
  DEMO_UPSTREAM_PORT: Type.Optional(port(
    'Port of the demo upstream, which starts outside production if no upstream is configured. Default: PORT + 1'
  ))
}
