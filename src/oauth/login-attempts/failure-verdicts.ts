import type { FailureReason } from '../../errors.js'
import type { LoginStepName, LoginStepRecord } from '../../stores/attempts.js'
import type { Verdict, VerdictContext } from './verdict.js'

type Explanation = Omit<Verdict, 'outcome'>

interface Failure extends VerdictContext {
  step: LoginStepName
  message: string
  /** The detail in parentheses, after a space; empty if there is none. */
  why: string
}

const NO_EGRESS = 'Can this service reach the internet (DNS, https)? Behind a proxy, set HTTPS_PROXY. If it has no ' +
  'way there, set CLIENT_METADATA_DOCUMENTS=off: clients then register instead.'

const EXPLANATIONS: Record<FailureReason, Explanation | ((failure: Failure) => Explanation)> = {
  unknown_client: ({ step }) => ({
    text: `The client is unknown here.${step === 'token' ? '' : ' Its id was never registered, or has expired.'}`,
    advice: 'Its registration has expired (no login used it in time), the store is new, or it was registered at ' +
      'another service. Remove the server in the client and add it again, so that it registers again. A client with ' +
      'a fixed id belongs in PREREGISTERED_CLIENTS.'
  }),
  document_gone: ({ why }) => ({
    text: `The metadata document of the client is gone, or does not describe a valid client${why}.`,
    advice: 'The client_id is the URL of that document: its publisher must fix it.'
  }),
  document_unreachable: ({ why }) => ({
    text: `The metadata document of the client could not be read${why}.`,
    advice: `The client_id is the URL of that document. Is its host up? ${NO_EGRESS}`
  }),
  document_unusable: ({ why }) => ({
    text: `The metadata document of the client cannot be used${why}.`,
    advice: 'The client_id is the URL of that document: its host must serve it to this service, as JSON, from a ' +
      `public address. If the host refuses this service, name the client in PREREGISTERED_CLIENTS. ${NO_EGRESS}`
  }),
  documents_off: {
    text: 'The client names its metadata document, and this service reads none.',
    advice: 'CLIENT_METADATA_DOCUMENTS is off. The client must read the metadata of this service again, and ' +
      'register: remove the server in the client and add it again. Or name it in PREREGISTERED_CLIENTS.'
  },
  redirect_uri_mismatch: ({ step, why }) => step === 'token'
    ? {
        text: 'Token request with another redirect_uri than the authorization request.',
        advice: 'A bug in the client: the two must be identical.'
      }
    : {
        text: `The redirect_uri is not one that the client registered${why}.`,
        advice: 'It must match exactly, except for the port of a loopback address. For a client with a fixed id, ' +
          'correct redirectUris in PREREGISTERED_CLIENTS.'
      },
  denied_by_person: { text: 'The person denied access on the consent page.' },
  denied_by_service: ({ step }) => ({
    text: step === 'refresh'
      ? 'The person may no longer use this service: authorizeGrant said no, and their login was ended.'
      : 'This service refused the person: authorizeGrant said no.'
  }),
  client_not_allowed: ({ message }) => ({
    text: `The policy of this service does not allow the client. ${message}`,
    advice: 'To allow it, add its id, the host of its metadata document, or where its redirect URIs lead, to ' +
      'ALLOWED_CLIENTS (docs/policy.md).'
  }),
  registration_refused: {
    text: 'The client may not register: registration is off, or its initial access token is missing or wrong.',
    advice: 'See DYNAMIC_REGISTRATION and INITIAL_ACCESS_TOKENS, or name the client in PREREGISTERED_CLIENTS.'
  },
  denied_by_policy: ({ step, why }) => ({
    text: step === 'refresh'
      ? `The person may no longer use this service, and their login was ended${why}.`
      : `The policy of this service refused the person${why}.`,
    advice: 'If they should be let in, change the rule that is named, or what the login server says of them ' +
      '(docs/policy.md).'
  }),
  denied_upstream: ({ why, loginHost }) => ({
    text: `The login server refused, or the person cancelled there${why}.`,
    advice: `May this person use this application at ${loginHost}? See its log.`
  }),
  tenant_not_allowed: ({ why }) => ({
    text: `The person is of a tenant that may not log in here${why}.`,
    advice: 'Add its id to OAUTH_ALLOWED_TENANTS if its people are to log in. Otherwise, there is nothing to do.'
  }),
  tenant_unknown: ({ why }) => ({
    text: `The login server did not say of which tenant the person is${why}.`,
    advice: 'OAUTH_SCOPES must have openid, so that the login server issues an ID token; its claim tid names the ' +
      'tenant. A login server for one tenant needs no OAUTH_ALLOWED_TENANTS.'
  }),
  login_over: ({ step }) => step === 'consent'
    ? {
        text: 'The consent page was answered too late, or for the second time.',
        advice: 'A login must be completed within ten minutes. With several replicas, all need the same REDIS_URL.'
      }
    : {
        text: 'The person came back from the login server too late, or for the second time.',
        advice: 'A login must be completed within ten minutes. With several replicas, all need the same REDIS_URL ' +
          'and ENCRYPTION_KEYS.'
      },
  other_browser: ({ publicUrl }) => ({
    text: 'The response came from another browser than the one in which the login began.',
    advice: 'The browser blocks cookies, the person switched browsers or devices, or this service is reached under ' +
      `two names: PUBLIC_URL (${publicUrl}) must be the one in the address bar. Somebody who sends others a link to ` +
      'their own login is stopped here, too.'
  }),
  upstream_unreachable: ({ why, loginHost }) => ({
    text: `The login server could not be reached${why}.`,
    advice: `Can this service reach ${loginHost}? /readyz shows whether it can.`
  }),
  upstream_needs_operator: ({ why, loginHost }) => ({
    text: `The login server cannot be used, and trying again does not help${why}.`,
    advice: `Is the name ${loginHost} right, is its certificate valid, and does this service trust its issuer?`
  }),
  upstream_refused_client: ({ step, why, publicUrl, dynamic }) => step === 'upstream'
    ? {
        text: `The login server did not register this service${why}.`,
        advice: 'Register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET.'
      }
    : {
        text: `The login server refused this service${why}.`,
        advice: dynamic
          ? 'invalid_client: it has forgotten the registration of this client. The next login registers it again; if ' +
            'that does not help, register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET.'
          : 'invalid_client: OAUTH_CLIENT_ID or OAUTH_CLIENT_SECRET is wrong or has expired. ' +
            `redirect_uri: register ${publicUrl}/oauth/callback there.`
      },
  upstream_refused_code: ({ why, publicUrl }) => ({
    text: `The login server rejected its own code as invalid${why}.`,
    advice: `Is exactly ${publicUrl}/oauth/callback registered there, and are the clocks right?`
  }),
  upstream_login_ended: ({ why, loginHost }) => ({
    text: `The login server wants the person to log in again${why}.`,
    advice: `Their login at ${loginHost} has expired or was revoked, or needs something more (such as a second ` +
      'factor). The client was told, and sends them there. If this happens to everybody at once, look at the log ' +
      `of ${loginHost}.`
  }),
  upstream_refused_scopes: ({ why }) => ({
    text: `The login server refused the scopes that this service asks for${why}.`,
    advice: 'Set OAUTH_SCOPES to those it supports.'
  }),
  upstream_answer_unusable: ({ why }) => ({
    text: `The login server gave a response that cannot be used${why}.`,
    advice: 'Is OAUTH_ISSUER_URL exactly the issuer that its metadata names?'
  }),
  callback_unusable: ({ why }) => ({
    text: `The browser came back from the login server with a response that cannot be used${why}.`,
    advice: 'A single one may be forged. If every login ends so, is OAUTH_ISSUER_URL exactly the issuer that its ' +
      'metadata names?'
  }),
  wrong_client_secret: {
    text: 'Token request with a wrong client secret.',
    advice: 'A registered client must register again. For a client with a fixed id, compare its secret with ' +
      'PREREGISTERED_CLIENTS.'
  },
  missing_client_assertion: {
    text: 'Token request without the client assertion that this client must send.',
    advice: 'The client registered private_key_jwt: it must sign each request with its key (RFC 7523). If it cannot, ' +
      'it must list none in token_endpoint_auth_methods_supported of its metadata.'
  },
  invalid_client_assertion: ({ message, why }) => ({
    text: `Token request that the client did not authenticate validly. ${message}${why}`,
    advice: 'A client with private_key_jwt signs each request with a key that it has published (jwks_uri or jwks). ' +
      'Are the clocks right, and is PUBLIC_URL the address that the client uses?'
  }),
  client_assertion_used_twice: {
    text: 'The client assertion was used twice.',
    advice: 'The client must sign a new one, with another jti, for each request, and for each attempt to repeat one. ' +
      'Or somebody else has read it.'
  },
  client_keys_unusable: ({ why }) => ({
    text: `The key set of the client is gone, or has no usable key${why}.`,
    advice: 'The metadata of the client name its jwks_uri: its publisher must fix what is there.'
  }),
  client_keys_unreachable: ({ why }) => ({
    text: `The key set of the client could not be read${why}.`,
    advice: 'The metadata of the client name its jwks_uri. Is its host up, and can this service reach it over the ' +
      'internet (DNS, https)? Behind a proxy, set HTTPS_PROXY.'
  }),
  wrong_verifier: {
    text: 'Token request with a wrong verifier.',
    advice: 'The code_verifier does not match the code_challenge: the client mixed up two logins, or somebody else ' +
      'has its code.'
  },
  unknown_code: {
    text: 'Token request with a code that is unknown or has expired.',
    advice: 'A code is valid for a minute: the client was slow, or its clock is wrong. With several replicas, all ' +
      'need the same REDIS_URL.'
  },
  code_of_another_client: {
    text: 'Token request with the code of another client.',
    advice: 'The client changed its id during the login, or somebody tries a code that belongs to another client.'
  },
  code_used_twice: {
    text: 'The code was used twice: the login was ended.',
    advice: 'The client repeats its token request, or somebody else has its code. Log in again.'
  },
  refresh_token_used_twice: {
    text: 'The refresh token was used twice: the login was ended.',
    advice: 'The client kept an old refresh token, or somebody else has it. Log in again.'
  },
  other_resource: ({ step, publicUrl }) => step === 'call'
    ? {
        text: 'The first call was refused: its token is for another resource.',
        advice: `Has PUBLIC_URL (${publicUrl}) changed since the login? Log in again.`
      }
    : {
        text: 'Token request for another resource than was authorized.',
        advice: 'The client must send the same resource to /authorize and /token.'
      }
}

const FAILED: Record<LoginStepName, string> = {
  registration: 'The registration was refused',
  authorization: 'The authorization request was refused',
  consent: 'The decision on the consent page was refused',
  upstream: 'The person could not be sent to the login server',
  callback: 'The login could not be completed',
  token: 'The token request was refused',
  refresh: 'The login could not be refreshed at the login server',
  call: 'The first call was refused'
}

/** Why a step failed, and what to do about it. */
export function explainFailure (
  step: LoginStepName,
  failure: NonNullable<LoginStepRecord['failure']>,
  context: VerdictContext
): Explanation {
  const { code, reason, message, detail } = failure
  const why = detail === undefined ? '' : ` (${detail})`
  // a replica of another version may write reasons that this one does not know
  if (reason === undefined || !Object.hasOwn(EXPLANATIONS, reason)) {
    return { text: `${FAILED[step]}: ${message}${why}`, advice: `Error ${code}: see docs/errors.md.` }
  }
  const explanation = EXPLANATIONS[reason]
  return typeof explanation === 'function' ? explanation({ ...context, step, message, why }) : explanation
}
