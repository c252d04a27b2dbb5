import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.js'
import { clientSetups } from './client-setup.js'
import { loadConfig, type Config, type UpstreamConfig } from './config.js'
import { startDemoUpstream, type DemoUpstream } from './demo/upstream.js'
import { ConfigError } from './errors.js'

// streams and connections, after the requests
const CLOSING_SECONDS = 5

/** Starts the service as configured by the environment, and closes it with grace on SIGTERM and SIGINT. */
async function start (): Promise<void> {
  const config = loadConfig()
  const demo = config.upstream === undefined ? await startDemoUpstream({ port: config.demoUpstreamPort }) : undefined
  const app = await buildApp(config, { upstream: config.upstream ?? demoUpstreamConfig(demo) })

  closeWithGrace({ delay: (config.shutdownDelaySeconds + config.shutdownSeconds + CLOSING_SECONDS) * 1000, logger: app.log }, async ({ err, signal }) => {
    if (err !== undefined) app.log.fatal({ err }, 'closing after an error nobody caught')
    else app.log.info({ signal }, 'closing')
    await app.leave()
    await app.close()
    await demo?.close()
  })

  await app.listen({ port: config.port, host: config.host })
  if (!config.production) process.stdout.write(welcome(config, demo))
}

function demoUpstreamConfig (demo: DemoUpstream | undefined): UpstreamConfig {
  if (demo === undefined) throw new ConfigError('No upstream is configured.')
  return { issuerUrl: new URL(demo.issuer), scopes: ['openid', 'profile', 'email', 'offline_access'], extraAuthorizeParams: {} }
}

/** What a person who just started the service needs to know. */
function welcome (config: Config, demo: DemoUpstream | undefined): string {
  const mcpUrl = `${config.publicUrl}/mcp`
  const lines = [
    `MCP server: ${mcpUrl}`,
    demo === undefined
      ? 'People log in at your authorization server.'
      : `Login:      any name, any password, at the demo authorization server ${demo.issuer} (set OAUTH_ISSUER_URL to use yours)`,
    '',
    'Connect:',
    ...clientSetups('demo', mcpUrl).map(({ client, how, text }) => `  ${client}: ${how}\n      ${text}`)
  ]
  return `\n${lines.map(line => `  ${line}`).join('\n')}\n\n`
}

start().catch((error: unknown) => {
  // a bad value is the operator's to mend: one line, no stack
  process.stderr.write(error instanceof ConfigError ? `${error.message}\n` : `${error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = 1
})
