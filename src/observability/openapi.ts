import { packageVersion } from '../version.js'

export interface OpenApiOptions {
  publicUrl: string
  scopes: readonly string[]
  /** Whether clients log in here, or elsewhere and bring the tokens. */
  broker: boolean
  /** Whether MCP has sessions here. */
  sessions: boolean
  /** Whether `/metrics` is there. */
  metrics: boolean
}

type Json = Record<string, unknown>

const text = (description: string) => ({ type: 'string', description })
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: Json) => ({ 'application/json': { schema } })
const answer = (description: string, content?: Json) => ({ description, ...content && { content } })
const query = (name: string, description: string, required = false) => ({
  name,
  in: 'query',
  description,
  required,
  schema: { type: 'string' }
})
const header = (name: string, description: string, required = false) => ({
  name,
  in: 'header',
  description,
  required,
  schema: { type: 'string' }
})
const page = (description: string) => answer(description, { 'text/html': { schema: { type: 'string' } } })
const document = (summary: string) => ({
  get: { tags: ['discovery'], summary, responses: { 200: answer('The document.', json({ type: 'object' })) } }
})
const form = (required: readonly string[], properties: Record<string, string>) => ({
  required: true,
  content: {
    'application/x-www-form-urlencoded': {
      schema: {
        type: 'object',
        ...required.length > 0 && { required },
        properties: Object.fromEntries(
          Object.entries(properties).map(([name, description]) => [name, text(description)])
        )
      }
    }
  }
})

const oauthErrors = {
  '4XX': answer('Refused (RFC 6749 5.2).', json(ref('OAuthError'))),
  503: answer(
    'The upstream or the store cannot be reached, or this process cannot keep up. Retry-After says when to try again.',
    json(ref('OAuthError'))
  )
}
const mcpErrors = {
  401: answer(
    'No access token, or none that is good: WWW-Authenticate leads to the protected resource metadata (RFC 9728).',
    json(ref('OAuthError'))
  ),
  403: answer('The token lacks scopes (RFC 6750), or the origin may not call.', json(ref('OAuthError'))),
  '4XX': answer('Refused.', json(ref('JsonRpcMessage'))),
  503: answer('No room, or the server is leaving. Retry-After says when to try again.', json(ref('JsonRpcMessage')))
}
const stream = { 'text/event-stream': { schema: { type: 'string' } } }
const security = [{ accessToken: [] }]
const session = header(
  'Mcp-Session-Id',
  'The session, for every request after initialize (revisions 2025-03-26 to 2025-11-25)'
)
const version = header('MCP-Protocol-Version', 'The revision that the client speaks')
const message = { required: true, content: json(ref('JsonRpcMessage')) }

/** The HTTP surface of a service as an OpenAPI document. What goes through `/mcp` is MCP's own: JSON-RPC. */
export function openApiDocument ({ publicUrl, scopes, broker, sessions, metrics }: OpenApiOptions): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'MCP server',
      description: 'A Model Context Protocol server behind OAuth.',
      version: packageVersion()
    },
    servers: [{ url: publicUrl }],
    paths: {
      ...mcpPaths(sessions),
      ...discoveryPaths(broker, sessions),
      ...broker && oauthPaths(),
      ...operationPaths(metrics)
    },
    components: {
      securitySchemes: {
        accessToken: broker
          ? {
              type: 'oauth2',
              flows: {
                authorizationCode: {
                  authorizationUrl: `${publicUrl}/authorize`,
                  tokenUrl: `${publicUrl}/token`,
                  refreshUrl: `${publicUrl}/token`,
                  scopes: Object.fromEntries(scopes.map(scope => [scope, '']))
                }
              }
            }
          : { type: 'http', scheme: 'bearer' },
        ...broker && { basic: { type: 'http', scheme: 'basic' } },
        ...metrics && { metricsToken: { type: 'http', scheme: 'bearer' } }
      },
      schemas: {
        OAuthError: {
          type: 'object',
          required: ['error'],
          properties: {
            error: text('The code.'),
            error_description: text('For people.'),
            request_id: text('Names the request in the log.')
          }
        },
        JsonRpcMessage: {
          type: 'object',
          required: ['jsonrpc'],
          properties: {
            jsonrpc: { const: '2.0' },
            id: { type: ['string', 'integer', 'null'] },
            method: { type: 'string' },
            params: { type: 'object' },
            result: { type: 'object' },
            error: { type: 'object' }
          }
        }
      }
    }
  }
}

function mcpPaths (sessions: boolean): Json {
  const post = {
    tags: ['mcp'],
    summary: 'Sends a message (Streamable HTTP)',
    security,
    parameters: [session, version],
    requestBody: message,
    responses: {
      200: answer('The answer: at once, or at the end of a stream.', { ...json(ref('JsonRpcMessage')), ...stream }),
      202: answer('Nothing to answer.'),
      ...mcpErrors
    }
  }
  if (!sessions) return { '/mcp': { post } }
  const lastEventId = header('Last-Event-ID', 'Resumes the stream after this event')
  return {
    '/mcp': {
      post,
      get: {
        tags: ['mcp'],
        summary: 'Listens to the session, or resumes a stream',
        security,
        parameters: [{ ...session, required: true }, version, lastEventId],
        responses: { 200: answer('The stream.', stream), 204: answer('The stream is over.'), ...mcpErrors }
      },
      delete: {
        tags: ['mcp'],
        summary: 'Ends the session',
        security,
        parameters: [{ ...session, required: true }, version],
        responses: { 200: answer('It has ended.'), ...mcpErrors }
      }
    },
    '/sse': {
      get: {
        tags: ['mcp'],
        summary: 'Begins a session of the deprecated HTTP+SSE',
        deprecated: true,
        security,
        responses: { 200: answer('The stream; its first event says where to send messages.', stream), ...mcpErrors }
      }
    },
    '/messages': {
      post: {
        tags: ['mcp'],
        summary: 'Sends a message (HTTP+SSE)',
        deprecated: true,
        security,
        parameters: [query('sessionId', 'The session', true)],
        requestBody: message,
        responses: { 202: answer('The answer comes on the stream.'), ...mcpErrors }
      }
    }
  }
}

function discoveryPaths (broker: boolean, sessions: boolean): Json {
  const places = ['', '/mcp', ...sessions ? ['/sse'] : []]
  // put before the path, and after it
  const all = (name: string, summary: string) =>
    Object.fromEntries(
      places.flatMap(place => [`/.well-known/${name}${place}`, `${place}/.well-known/${name}`]).map(
        path => [path, document(summary)]
      )
    )
  return {
    ...all('oauth-protected-resource', 'Where a client gets a token for an MCP endpoint (RFC 9728)'),
    ...broker && {
      ...all('oauth-authorization-server', 'The endpoints of the authorization server (RFC 8414)'),
      ...all('openid-configuration', 'The same, for parsers of OpenID Connect Discovery'),
      '/.well-known/jwks.json': document('The keys of the authorization server: none')
    }
  }
}

function oauthPaths (): Json {
  const authorization = {
    response_type: 'code',
    client_id: 'The client',
    redirect_uri: 'Where the answer goes',
    state: 'Comes back with the answer',
    scope: 'Scopes, separated by spaces',
    code_challenge: 'PKCE (RFC 7636)',
    code_challenge_method: 'S256',
    resource: 'The MCP endpoint (RFC 8707)'
  }
  const required = ['response_type', 'client_id', 'code_challenge', 'code_challenge_method']
  const answers = {
    200: page('Consent, or a refusal that the person may take to the client.'),
    302: answer('To the upstream, or back to the client with an error.'),
    '4XX': page('What did not work.'),
    503: page('Try again.')
  }
  const authenticated = [{}, { basic: [] }]
  const credentials = {
    client_id: 'The client, where it does not use Basic',
    client_secret: 'Its secret, where it has one'
  }
  const goesOn = {
    302: answer('On, with a cookie.'),
    303: answer('On, with a cookie.'),
    '4XX': page('What did not work.')
  }
  return {
    '/oauth/connections': {
      get: { tags: ['oauth'], summary: 'What a person has connected', responses: { 200: page('The page.'), ...goesOn } }
    },
    '/oauth/connections/login': { get: { tags: ['oauth'], summary: 'Logs in to that page', responses: goesOn } },
    '/oauth/connections/callback': {
      get: {
        tags: ['oauth'],
        summary: 'The way back from its login',
        parameters: [query('code', 'Ours'), query('state', 'Of the page')],
        responses: goesOn
      }
    },
    '/oauth/connections/end': {
      post: { tags: ['oauth'], summary: 'Ends a connection', requestBody: form([], {}), responses: goesOn }
    },
    '/oauth/connections/logout': {
      post: { tags: ['oauth'], summary: 'Logs out of that page', requestBody: form([], {}), responses: goesOn }
    },
    '/authorize': {
      get: {
        tags: ['oauth'],
        summary: 'Asks the person for access',
        parameters: Object.entries(authorization).map(([name, description]) =>
          query(name, description, required.includes(name))
        ),
        responses: answers
      },
      post: {
        tags: ['oauth'],
        summary: 'The same, as a form',
        requestBody: form(required, authorization),
        responses: answers
      }
    },
    '/authorize/consent': {
      post: {
        tags: ['oauth'],
        summary: 'The answer of our consent page',
        requestBody: form(['transaction', 'decision'], {
          transaction: 'Of the page',
          decision: 'allow or deny',
          remember: 'yes: do not ask again'
        }),
        responses: { 303: answer('To the upstream, or back to the client.'), '4XX': page('What did not work.') }
      }
    },
    '/oauth/callback': {
      get: {
        tags: ['oauth'],
        summary: 'The way back from the upstream',
        parameters: [
          query('state', 'Ours', true),
          query('code', 'Of the upstream'),
          query('iss', 'The upstream (RFC 9207)'),
          query('error', 'Of the upstream')
        ],
        responses: { 302: answer('To the client, with its code or an error.'), '4XX': page('What did not work.') }
      }
    },
    '/token': {
      post: {
        tags: ['oauth'],
        summary: 'Issues tokens (RFC 6749 4.1.3, 6)',
        security: authenticated,
        requestBody: form(['grant_type'], {
          grant_type: 'authorization_code or refresh_token',
          code: 'The code',
          code_verifier: 'PKCE',
          redirect_uri: 'That of the request',
          refresh_token: 'The refresh token',
          scope: 'Less than was granted',
          resource: 'The MCP endpoint',
          ...credentials
        }),
        responses: {
          200: answer(
            'Tokens.',
            json({
              type: 'object',
              required: ['access_token', 'token_type', 'expires_in', 'scope'],
              properties: {
                access_token: { type: 'string' },
                token_type: { const: 'Bearer' },
                expires_in: { type: 'integer' },
                refresh_token: { type: 'string' },
                scope: { type: 'string' }
              }
            })
          ),
          ...oauthErrors
        }
      }
    },
    '/register': { post: { tags: ['oauth'], summary: 'Registers a client (RFC 7591)', requestBody: { required: true, content: json({ type: 'object', required: ['redirect_uris'], properties: { redirect_uris: { type: 'array', items: { type: 'string' } }, client_name: { type: 'string' }, token_endpoint_auth_method: { enum: ['none', 'client_secret_basic', 'client_secret_post'] } } }) }, responses: { 201: answer('The client.', json({ type: 'object', required: ['client_id'] })), ...oauthErrors } } },
    '/revoke': { post: { tags: ['oauth'], summary: 'Ends the login of a token (RFC 7009)', security: authenticated, requestBody: form(['token'], { token: 'Of either kind', ...credentials }), responses: { 200: answer('It is over, or never was.'), ...oauthErrors } } },
    '/introspect': { post: { tags: ['oauth'], summary: 'Tells the operator\'s services what a token is worth (RFC 7662)', security: [{ basic: [] }], requestBody: form(['token'], { token: 'Of either kind' }), responses: { 200: answer('What it is worth.', json({ type: 'object', required: ['active'], properties: { active: { type: 'boolean' } } })), ...oauthErrors } } }
  }
}

function operationPaths (metrics: boolean): Json {
  const health = json({
    type: 'object',
    required: ['status'],
    properties: { status: { enum: ['ok', 'failing', 'closing'] }, checks: { type: 'object' } }
  })
  const get = (summary: string, responses: Json, more: Json = {}) => ({
    get: { tags: ['operations'], summary, ...more, responses }
  })
  return {
    '/': get('How to connect, for people', { 200: page('The page.') }),
    '/healthz': get('This process is alive', { 200: answer('It is.', health) }),
    '/readyz': get('This process can serve', {
      200: answer('It can.', health),
      503: answer('It cannot, or is leaving.', health)
    }),
    '/openapi.json': get('This document', { 200: answer('The document.', json({ type: 'object' })) }),
    ...metrics &&
      {
        '/metrics': get('Figures for Prometheus', {
          200: answer('The figures.', { 'text/plain': { schema: { type: 'string' } } }),
          401: answer('The token is missing or wrong.')
        }, { security: [{}, { metricsToken: [] }] })
      }
  }
}
