import { findProvider, type ProviderName } from '../../oauth/providers/providers.js'
import type { Choices } from './choices.js'

const DOCS = 'https://github.com/fastify-mcp-oauth/fastify-mcp-oauth/blob/main/docs'

/** The text of a new project's `.env.example`. */
export function envExample ({ login }: Choices): string {
  return `# Copy this file to .env, which npm start and npm run dev read. An empty value counts as not set.
# Every variable: ${DOCS}/configuration.md

# The URL that clients see: in production, an https origin.
# PUBLIC_URL=https://mcp.example.com
# PORT=5050

${login === 'demo' ? ANY_LOGIN : providerSettings(login)}
# Who may log in; say it where anybody can have an account: ${DOCS}/policy.md
# ALLOWED_EMAIL_DOMAINS=example.com
# ALLOWED_GROUPS=mcp-users

# Keeps logins and sessions over restarts, for one process; outside production it is .data.
# DATA_DIR=/data
# The same for any number of replicas.
# REDIS_URL=redis://localhost:6379
# In production: node -p "crypto.randomBytes(32).toString('base64url')", after a name and a colon.
# ENCRYPTION_KEYS=
`
}

const ANY_LOGIN = `# Where people log in. Without these, outside production: a demo login that takes any name and
# password. A preset, or the issuer of any other login server:
# ${DOCS}/upstreams/README.md
# OAUTH_PROVIDER=google
# OAUTH_ISSUER_URL=https://login.example.com
# OAUTH_CLIENT_ID=
# OAUTH_CLIENT_SECRET=
`

function providerSettings (provider: ProviderName): string {
  const { instance, registers } = findProvider(provider)
  const issuer = instance === undefined ? '' : `# Which one: ${instance}.\nOAUTH_ISSUER_URL=\n`
  const optional = registers ? ' Not needed if clients may register there.' : ''
  return `# Where people log in: ${DOCS}/upstreams/${provider}.md
OAUTH_PROVIDER=${provider}
${issuer}# The client that this service is there, with the redirect URI PUBLIC_URL/oauth/callback.${optional}
OAUTH_CLIENT_ID=
OAUTH_CLIENT_SECRET=
`
}
