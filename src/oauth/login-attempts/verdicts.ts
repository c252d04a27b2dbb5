import type { LoginStepName, LoginStepRecord } from '../../stores/attempts.js'
import type { Attempt, Visit } from './attempts.js'
import { OWN_CLIENT_ID } from '../connections/sign-ins.js'

/** What became of an attempt, in words, and what to do about it. */
export interface Verdict {
  outcome: 'good' | 'waiting' | 'failed'
  text: string
  advice?: string
}

/** What verdicts need to know of this service. */
export interface VerdictContext {
  /** Milliseconds since the epoch. */
  now: number
  publicUrl: string
  /** Where people log in. */
  loginHost: string
  /** Whether each client is registered upstream. */
  dynamic: boolean
}

// how long people, and programs, may take before they count as gone
const PERSON_MS = 600_000
const PROGRAM_MS = 60_000

/** What became of an attempt. */
export function judgeAttempt ({ steps, clientId }: Attempt, context: VerdictContext): Verdict {
  const last = lastOfWeight(steps)
  if (last === undefined) return { outcome: 'waiting', text: 'Nothing is known of it.' }
  if (last.failure !== undefined) return { outcome: 'failed', ...failed(last, context) }
  if (last.step === 'call') {
    return { outcome: 'good', text: 'All is well: the client logged in and called with its token.' }
  }
  if (last.step === 'token' && clientId === OWN_CLIENT_ID) {
    return { outcome: 'good', text: 'All is well: the person signed in to see their connected apps.' }
  }
  const [patienceMs, waiting, gone] = pending(last.step, context)
  return context.now - last.at < patienceMs ? { outcome: 'waiting', text: waiting } : { outcome: 'failed', ...gone }
}

/** What a program's requests look like that no login followed. */
export function visitVerdict ({ requests }: Visit, { now, publicUrl }: VerdictContext): Verdict {
  const asked = (name: string) =>
    requests.some(({ request, status }) => request === name && (status < 400 || request === 'challenge'))
  const last = requests.at(-1)
  if (asked('token')) return { outcome: 'good', text: 'It went on to ask for tokens, and got them.' }
  if (last !== undefined && now - last.at < PROGRAM_MS) return { outcome: 'waiting', text: 'It has just asked.' }
  if (asked('registration')) return { outcome: 'waiting', text: 'It registered a client: that login is told of above.' }
  if (asked('server-metadata')) {
    return {
      outcome: 'waiting',
      text: 'It read where to log in, and neither registered nor asked for tokens from this address.',
      advice:
        'A client that it registered before sends the person to /authorize in a browser, which nothing here ties to this program: look above. Otherwise it stopped by itself: its own log tells why.'
    }
  }
  if (asked('resource-metadata')) {
    return {
      outcome: 'failed',
      text: 'It read the protected resource metadata, and did not go on to the authorization server.',
      advice:
        `Is PUBLIC_URL (${publicUrl}) the very address that clients use? They refuse metadata of another one. Does a proxy let ${publicUrl}/.well-known/oauth-authorization-server through?`
    }
  }
  if (requests.some(({ request }) => request === 'token-refused')) {
    return {
      outcome: 'failed',
      text: 'Its token was refused, and it did not look where to get a new one.',
      advice:
        'The token is unknown, over, revoked, or not one of ours. Does the client go on with a token of before? With several replicas and no REDIS_URL, each knows only its own tokens.'
    }
  }
  return {
    outcome: 'failed',
    text: 'It was told to log in (401), and did not look where.',
    advice:
      `The client may know no OAuth, or a proxy takes WWW-Authenticate away or does not let ${publicUrl}/.well-known/ through: try curl -i ${publicUrl}/mcp from outside.`
  }
}

/** The step that decides: the last one, less what people and browsers do a second time after it went well. */
function lastOfWeight (steps: readonly LoginStepRecord[]): LoginStepRecord | undefined {
  const wentWell = (step: LoginStepName) => steps.some(other => other.step === step && other.failure === undefined)
  return steps.findLast(({ step, failure }) => failure?.reason !== 'login_over' || !wentWell(step))
}

function pending (
  step: Exclude<LoginStepName, 'call'>,
  { loginHost, publicUrl, dynamic }: VerdictContext
): [patienceMs: number, waiting: string, gone: Omit<Verdict, 'outcome'>] {
  switch (step) {
    case 'registration': return [PERSON_MS, 'The client has registered; it has not sent anybody to log in yet.', {
      text: 'The client registered and never sent anybody to log in.',
      advice: 'It did not open a browser, or opened one that did not reach /authorize. Its own log tells.'
    }]
    case 'authorization': return [PERSON_MS, 'A person is asked for consent.', {
      text: 'The person never answered the consent page.',
      advice: 'They closed it, or the client gave up first. Cookies must be allowed: the page does not work without.'
    }]
    case 'consent':
    case 'upstream':
      return [PERSON_MS, `A person is at the login server (${loginHost}).`, {
        text: 'The person did not come back from the login server.',
        advice:
          `They gave up, or ${loginHost} showed them an error of its own. Is ${publicUrl}/oauth/callback registered there as a redirect URI${
            dynamic ? ' for this client' : ', for the client of OAUTH_CLIENT_ID'
          }? It keeps people on its own page where it is not.`
      }]
    case 'callback':
      return [PROGRAM_MS, 'The client was sent its code.', {
        text: 'The client never came back with the code.',
        advice:
          'It was sent to the client’s redirect URI. Does somebody listen there: is the app still open, is its port reachable from that browser? A hosted client must reach /token from its own network.'
      }]
    case 'token':
      return [PROGRAM_MS, 'The client has its tokens.', {
        text: 'The client got its tokens and never called with them.',
        advice:
          'Do its calls reach this service? A proxy must pass Authorization on to /mcp; look for “token refused” below.'
      }]
  }
}

function failed ({ step, failure }: LoginStepRecord, context: VerdictContext): Omit<Verdict, 'outcome'> {
  const { code = '', reason, message = '', detail } = failure ?? {}
  const why = detail === undefined ? '' : ` (${detail})`
  const { loginHost, publicUrl } = context
  switch (reason) {
    case 'unknown_client':
      return {
        text: `The client is unknown here.${step === 'token' ? '' : ' It came with an id that nobody has registered.'}`,
        advice:
          'Its registration has gone (unused for a day, or the store is new), or it is of another service. Remove the server in the client and add it again, so that it registers anew; a client with a fixed id belongs into PREREGISTERED_CLIENTS.'
      }
    case 'document_gone':
      return {
        text: `The metadata document of the client is gone, or describes no client that can be one${why}.`,
        advice: 'Its client_id is the URL of that document: its publisher must mend it.'
      }
    case 'document_unreachable':
      return {
        text: `The metadata document of the client could not be read${why}.`,
        advice:
          'Its client_id is the URL of that document: is its host up, and may this service reach it over the internet (DNS, https)?'
      }
    case 'redirect_uri_mismatch':
      return {
        text: step === 'token'
          ? 'Token request with another redirect_uri than the authorization request.'
          : `The redirect_uri is not one that the client registered${why}.`,
        advice: step === 'token'
          ? 'A bug of the client: both must be the same, to the letter.'
          : 'It must be the same to the letter, but for the port of a loopback one. A fixed client: mend redirectUris in PREREGISTERED_CLIENTS.'
      }
    case 'denied_by_person':
      return { text: 'The person denied access on the consent page.' }
    case 'denied_by_service':
      return { text: 'This service refused the person: authorizeGrant said no.' }
    case 'denied_upstream':
      return {
        text: `The login server refused, or the person cancelled there${why}.`,
        advice: `May this person use this application at ${loginHost}? Its own log tells more.`
      }
    case 'login_over':
      return step === 'consent'
        ? {
            text: 'The consent page was answered too late, or for the second time.',
            advice: 'A login must be done in ten minutes. With several replicas, all need the same REDIS_URL.'
          }
        : {
            text: 'The person came back from the login server too late, or for the second time.',
            advice:
            'A login must be done in ten minutes. With several replicas, all need the same REDIS_URL and ENCRYPTION_KEYS.'
          }
    case 'other_browser':
      return {
        text: 'The answer came from another browser than the login began in.',
        advice:
          `The browser blocks cookies, or the person changed browser or device; or people reach this service by two names: PUBLIC_URL (${publicUrl}) must be the one in their address bar. It also stops who sends others a link of their own.`
      }
    case 'upstream_unreachable':
      return {
        text: `The login server could not be reached${why}.`,
        advice: `Can this service reach ${loginHost}? /readyz tells.`
      }
    case 'upstream_refused_client':
      return step === 'upstream'
        ? {
            text: `The login server did not register this service${why}.`,
            advice: 'Register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET.'
          }
        : {
            text: `The login server refused this service${why}.`,
            advice:
            `invalid_client: OAUTH_CLIENT_ID or OAUTH_CLIENT_SECRET is wrong or over. redirect_uri: register ${publicUrl}/oauth/callback there.`
          }
    case 'upstream_refused_code':
      return {
        text: `The login server took its own code for invalid${why}.`,
        advice: `Is ${publicUrl}/oauth/callback registered there exactly so, and are the clocks right?`
      }
    case 'upstream_refused_scopes':
      return {
        text: `The login server refused the scopes that this service asks for${why}.`,
        advice: 'Set OAUTH_SCOPES to those it has.'
      }
    case 'upstream_answer_unusable':
      return {
        text: `The login server gave an answer that cannot be used${why}.`,
        advice: 'Is OAUTH_ISSUER_URL exactly the issuer that it names itself?'
      }
    case 'wrong_client_secret':
      return {
        text: 'Token request with a wrong client secret.',
        advice: 'A registered client: let it register anew. A fixed one: compare its secret with PREREGISTERED_CLIENTS.'
      }
    case 'wrong_verifier':
      return {
        text: 'Token request with a wrong verifier.',
        advice:
          'The code_verifier does not belong to the code_challenge: two logins of the client got mixed up, or somebody else has its code.'
      }
    case 'unknown_code':
      return {
        text: 'Token request with a code that has expired, or never was.',
        advice:
          'A code is good for a minute: the client was slow, or its clock stands. With several replicas, all need the same REDIS_URL.'
      }
    case 'code_of_another_client':
      return {
        text: 'Token request with the code of another client.',
        advice: 'The client has changed its id in the middle of the login, or somebody tries a code that is not theirs.'
      }
    case 'code_used_twice':
      return {
        text: 'The code was used twice: the login was ended.',
        advice: 'The client repeats its token request, or somebody else has its code. Log in again.'
      }
    case 'other_resource':
      return step === 'call'
        ? {
            text: 'The first call was refused: its token is for another resource.',
            advice: `Has PUBLIC_URL (${publicUrl}) changed since the login? Log in again.`
          }
        : {
            text: 'Token request for another resource than was authorized.',
            advice: 'The client must send the same resource to /authorize and /token.'
          }
    default:
      return { text: `${FAILED[step]}: ${message}${why}`, advice: `Error ${code}: see docs/errors.md.` }
  }
}

const FAILED: Record<LoginStepName, string> = {
  registration: 'The registration was refused',
  authorization: 'The authorization request was refused',
  consent: 'The answer to the consent page was refused',
  upstream: 'The person could not be sent to the login server',
  callback: 'The login could not be completed',
  token: 'The token request was refused',
  call: 'The first call was refused'
}
