import { EnvironmentSchema } from '../../src/config/environment.js'
import { fences, inlineCode, sources } from './pages.js'

// not of the service: whose then
const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  'the doctor (src/cli/doctor.ts)': ['DOCTOR_TOKEN'],
  'compose.yaml': ['REDIS_PASSWORD'],
  Dockerfile: ['NATIVE_PACKAGES', 'NATIVE_TOOLS'],
  Kubernetes: ['fsGroup', 'fsGroupChangePolicy'],
  'clients of the SDKs': ['invalidateCredentials'],
  'scripts of test/replicas': ['LOAD_BALANCER'],
  'test/support/fast-path-door.ts': ['MCP_TEST_FAST_PATH'],
  'the shell, Node.js, CI': ['PATH', 'CI', 'NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS'],
  'what stdioServer passes on': [
    'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'LC_ALL', 'LC_CTYPE', 'TERM', 'TMPDIR', 'TZ'
  ],
  Keycloak: ['KC_HOSTNAME', 'KC_HOSTNAME_BACKCHANNEL_DYNAMIC', 'KC_HTTP_RELATIVE_PATH'],
  'HTTP, Redis': ['GET', 'PUBLISH', 'SPUBLISH'],
  'errors of Redis': [
    'LOADING',
    'BUSY',
    'READONLY',
    'MASTERDOWN',
    'CLUSTERDOWN',
    'TRYAGAIN',
    'NOREPLICAS',
    'MISCONF',
    'OOM',
    'NOAUTH',
    'WRONGPASS',
    'NOPERM'
  ],
  'errors of DNS': ['ENOTFOUND', 'EAI_AGAIN'],
  OpenTelemetry: ['OTEL_SERVICE_NAME', 'OTEL_EXPORTER_OTLP_ENDPOINT'],
  'server-memory': ['MEMORY_FILE_PATH'],
  'MCP Inspector': ['MCP_AUTO_OPEN_ENABLED'],
  'for the reader to fill in': [
    'URL',
    'HOSTED',
    'myRoutes',
    'YOUR_API',
    'YOUR_NAME',
    'YOUR_DOMAIN',
    'YOUR_GROUP',
    'YOUR_ORG',
    'YOUR_POOL',
    'YOUR_REALM',
    'YOUR_REGION',
    'YOUR_SERVER',
    'YOUR_TENANT',
    'TENANT_ID'
  ],
  'the SDKs': [
    'elicitInput',
    'fromJsonSchema',
    'getClientCapabilities',
    'getClientVersion',
    'sendLoggingMessage',
    'sendNotification',
    'sendRequest',
    'sendResourceUpdated',
    'sendToolListChanged',
    'scopeChallenge',
    'taskSupport',
    'toNodeHandler'
  ],
  'what people move from (docs/moving.md)': ['mcpAuthRouter', 'mcpAuthMetadataRouter', 'protectedResourceHandler'],
  'oidc-provider': ['issueRefreshToken', 'resourceIndicators'],
  Fastify: ['onSend', 'preSerialization', 'reqId'],
  'Kubernetes, ECS': ['maxUnavailable', 'preStop', 'stopTimeout', 'terminationGracePeriodSeconds']
}

/** Names in the code of the pages that neither the service nor anybody else has, with where they stand. */
export function strangeNames (): string[] {
  const foreign = new Set(Object.values(FOREIGN).flat())
  const words = new Set(sources('src', 'examples').flatMap(text => text.match(/\w+/g) ?? []))
  const code = [...inlineCode(), ...fences().filter(({ language }) => ['sh', 'console', 'dotenv'].includes(language))]
  return code.flatMap(({ page, line, text }) => {
    const variables = [...text.matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|^[A-Z]+(?==|$)/gm)].map(([name]) => name)
      .filter(name => !(name in EnvironmentSchema.properties))
    const options = [...text.matchAll(/\b[a-z]+(?:[A-Z][a-z0-9]*)+\b/g)].map(([name]) => name).filter(name =>
      !words.has(name)
    )
    return [...variables, ...options].filter(name => !foreign.has(name)).map(name => `${page}:${line}: ${name}`)
  })
}
