import type { LoginStepName, LoginStepRecord } from '../../stores/attempts.js'
import type { Attempt, Visit } from './attempts.js'
import { OWN_CLIENT_ID } from '../connections/sign-ins.js'
import { explainFailure } from './failure-verdicts.js'
import type { Verdict, VerdictContext } from './verdict.js'

// how long people and programs may take before they are assumed to have given up
const PERSON_MS = 600_000
const PROGRAM_MS = 60_000

/** What became of an attempt. */
export function judgeAttempt ({ steps, clientId }: Attempt, context: VerdictContext): Verdict {
  const last = lastOfWeight(steps)
  if (last === undefined) return { outcome: 'waiting', text: 'Nothing is known about it.' }
  if (last.failure !== undefined) return { outcome: 'failed', ...explainFailure(last.step, last.failure, context) }
  if (last.step === 'call' || last.step === 'refresh') {
    return { outcome: 'good', text: 'All is well: the client logged in and called with its token.' }
  }
  if (last.step === 'token' && clientId === OWN_CLIENT_ID) {
    return { outcome: 'good', text: 'All is well: the person signed in to see their connected apps.' }
  }
  const pending = PENDING[last.step]
  const { patienceMs, waiting, gone } = typeof pending === 'function' ? pending(context) : pending
  return context.now - last.at < patienceMs ? { outcome: 'waiting', text: waiting } : { outcome: 'failed', ...gone }
}

/** What the requests of a program show that no login followed. */
export function visitVerdict ({ requests }: Visit, { now, publicUrl }: VerdictContext): Verdict {
  const asked = (name: string) =>
    requests.some(({ request, status }) => request === name && (status < 400 || request === 'challenge'))
  const last = requests.at(-1)
  if (asked('token')) return { outcome: 'good', text: 'It then asked for tokens, and got them.' }
  if (last !== undefined && now - last.at < PROGRAM_MS) return { outcome: 'waiting', text: 'It has just asked.' }
  if (asked('registration')) return { outcome: 'waiting', text: 'It registered a client: see that login above.' }
  if (asked('server-metadata')) {
    return {
      outcome: 'waiting',
      text: 'It read where to log in, and neither registered nor asked for tokens from this address.',
      advice: 'If it had registered before, it sends the person to /authorize in a browser, which cannot be linked ' +
        'to this program: look above. Otherwise it stopped by itself: see its own log.'
    }
  }
  if (asked('resource-metadata')) {
    return {
      outcome: 'failed',
      text: 'It read the protected resource metadata, and did not continue to the authorization server.',
      advice: `Is PUBLIC_URL (${publicUrl}) exactly the address that clients use? They refuse metadata of another ` +
        `one. Does a proxy let ${publicUrl}/.well-known/oauth-authorization-server through?`
    }
  }
  if (requests.some(({ request }) => request === 'token-refused')) {
    return {
      outcome: 'failed',
      text: 'Its token was refused, and it did not look where to get a new one.',
      advice: 'The token is unknown, has expired, was revoked, or was issued by another server. Does the client ' +
        'still use an old token? With several replicas and no REDIS_URL, each knows only its own tokens.'
    }
  }
  return {
    outcome: 'failed',
    text: 'It was told to log in (401), and did not look where.',
    advice: 'The client may not support OAuth, or a proxy removes WWW-Authenticate or blocks ' +
      `${publicUrl}/.well-known/: try curl -i ${publicUrl}/mcp from outside.`
  }
}

/** The step that decides: the last one, without those that people and browsers repeated after they went well. */
function lastOfWeight (steps: readonly LoginStepRecord[]): LoginStepRecord | undefined {
  const wentWell = (step: LoginStepName) => steps.some(other => other.step === step && other.failure === undefined)
  return steps.findLast(({ step, failure }) => failure?.reason !== 'login_over' || !wentWell(step))
}

interface Pending {
  /** How long the next step may take. */
  patienceMs: number
  waiting: string
  gone: Omit<Verdict, 'outcome'>
}

const AT_LOGIN_SERVER = ({ loginHost, publicUrl, dynamic }: VerdictContext): Pending => ({
  patienceMs: PERSON_MS,
  waiting: `A person is at the login server (${loginHost}).`,
  gone: {
    text: 'The person did not come back from the login server.',
    advice: `They gave up, or ${loginHost} showed them an error. Is ${publicUrl}/oauth/callback registered ` +
      `there as a redirect URI${dynamic ? ' for this client' : ', for the client of OAUTH_CLIENT_ID'}? If it is not, ` +
      'people stay on a page of the login server.'
  }
})

/** After a step that went well: what is expected next, and why it may never come. */
const PENDING: Record<Exclude<LoginStepName, 'call' | 'refresh'>, Pending | ((context: VerdictContext) => Pending)> = {
  registration: {
    patienceMs: PERSON_MS,
    waiting: 'The client has registered; it has not sent anybody to log in yet.',
    gone: {
      text: 'The client registered and never sent anybody to log in.',
      advice: 'It did not open a browser, or opened one that did not reach /authorize. See its own log.'
    }
  },
  authorization: {
    patienceMs: PERSON_MS,
    waiting: 'A person is asked for consent.',
    gone: {
      text: 'The person never answered the consent page.',
      advice: 'They closed it, or the client gave up first. The page needs cookies: are they allowed?'
    }
  },
  consent: AT_LOGIN_SERVER,
  upstream: AT_LOGIN_SERVER,
  callback: {
    patienceMs: PROGRAM_MS,
    waiting: 'The client was sent its code.',
    gone: {
      text: 'The client never came back with the code.',
      advice: 'The code was sent to the client’s redirect URI. Is the app still open, and can that browser reach its ' +
        'port? A hosted client must reach /token from its own network.'
    }
  },
  token: {
    patienceMs: PROGRAM_MS,
    waiting: 'The client has its tokens.',
    gone: {
      text: 'The client got its tokens and never called with them.',
      advice: 'Do its calls reach this service? A proxy must pass Authorization on to /mcp; look for “token refused” ' +
        'below.'
    }
  }
}
