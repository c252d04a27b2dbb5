import type { Shape } from './shape.js'

/*
 * Microsoft identity platform, v2.0, one tenant: userinfo is at Graph, there is no revocation endpoint, token responses
 * have ext_expires_in, and errors have numbers (AADSTS) in their description. A refresh for which the person must come
 * back is interaction_required; a secret that has expired is invalid_client, AADSTS7000222.
 */
const tenant = '8a1b2c3d-0000-4444-8888-0123456789ab'
const base = `https://login.microsoftonline.com/${tenant}`
const trace = { trace_id: '3f4a', correlation_id: '2b1c', timestamp: '2026-11-28 12:00:00Z' }

export const entra: Shape = {
  name: 'Microsoft Entra ID, one tenant',
  recipe: { page: 'entra.md' },
  values: { TENANT_ID: tenant },
  issuer: `${base}/v2.0`,
  endpoints: {
    authorize: `${base}/oauth2/v2.0/authorize`,
    token: `${base}/oauth2/v2.0/token`,
    jwks: `${base}/discovery/v2.0/keys`,
    userinfo: 'https://graph.microsoft.com/oidc/userinfo'
  },
  metadata: {
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
    response_modes_supported: ['query', 'fragment', 'form_post'],
    subject_types_supported: ['pairwise'],
    request_uri_parameter_supported: false,
    http_logout_supported: true,
    kerberos_endpoint: `${base}/kerberos`,
    tenant_region_scope: null,
    cloud_instance_name: 'microsoftonline.com',
    code_challenge_methods_supported: undefined
  },
  authMethod: 'client_secret_basic',
  lifetimeSeconds: 4211,
  refreshes: true,
  subject: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ',
  idToken: {
    ver: '2.0',
    tid: tenant,
    oid: '00000000-0000-0000-66f3-3332eca7ea81',
    name: 'Alice Liddell',
    preferred_username: 'alice@example.com',
    rh: '0.AAAA',
    uti: 'fqiBqXLPj0eQa82S'
  },
  userinfo: { sub: 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ', name: 'Alice Liddell', picture: 'https://graph' },
  tokens: { ext_expires_in: 4211, scope: 'email openid profile' },
  refusals: {
    code: {
      status: 400,
      body: {
        error: 'invalid_grant',
        error_description: 'AADSTS70008: The code has expired.',
        error_codes: [70008],
        ...trace
      }
    },
    refresh: {
      status: 400,
      body: {
        error: 'interaction_required',
        error_description: 'AADSTS50076: You must use multi-factor authentication.',
        error_codes: [50076],
        suberror: 'basic_action',
        ...trace
      }
    },
    secret: {
      status: 401,
      body: {
        error: 'invalid_client',
        error_description: 'AADSTS7000222: The provided client secret keys for the app are expired.',
        error_codes: [7000222],
        error_uri: 'https://login.microsoftonline.com/error?code=7000222',
        ...trace
      }
    }
  },
  cancelled: {
    error: 'access_denied',
    error_subcode: 'cancel',
    error_description: 'AADSTS65004: User declined to consent to access the app.'
  }
}
