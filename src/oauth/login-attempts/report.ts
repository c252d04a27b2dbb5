import type {
  LoginStepName,
  LoginStepRecord,
  StepFailure,
  LoginVisitRecord,
  LoginVisitRequest
} from '../../stores/attempts.js'
import { groupSteps, groupVisits } from './attempts.js'
import type { Verdict, VerdictContext } from './verdict.js'
import { judgeAttempt, visitVerdict } from './verdicts.js'

/** A step as it is shown. */
export interface ReportedStep {
  name: string
  /** ISO 8601. */
  at: string
  ok: boolean
  /** Why it failed, or what of the client's metadata was not taken. */
  text?: string
}

/** How the last logins went, the last first. What operators are shown: on the page, as JSON, by the command. */
export interface AttemptsReport {
  /** ISO 8601. */
  at: string
  publicUrl: string
  /** Where people log in. */
  loginHost: string
  /** `dynamic`: each client is registered upstream. */
  upstreamMode: 'dynamic' | 'static'
  attempts: Array<{
    client: { id?: string, name?: string, kind?: string }
    redirectHost?: string
    steps: ReportedStep[]
    verdict: Verdict
  }>
  /** Requests that no login is known to belong to, by program and address. */
  visits: Array<{ address: string, userAgent: string, steps: ReportedStep[], verdict: Verdict }>
}

const MAX_SHOWN = 100

const STEPS: Record<LoginStepName, string> = {
  registration: 'registration',
  authorization: 'authorize',
  consent: 'consent',
  upstream: 'sent to the login server',
  callback: 'callback',
  token: 'token',
  refresh: 'refresh at the login server',
  call: 'first call'
}
const KINDS = {
  registered: 'registered dynamically',
  preregistered: 'preregistered',
  document: 'client ID metadata document'
}
const REQUESTS: Record<LoginVisitRequest, string> = {
  challenge: 'call without a token',
  'token-refused': 'call with a token',
  'resource-metadata': 'protected resource metadata',
  'server-metadata': 'authorization server metadata',
  registration: 'registration',
  token: 'token'
}

/** What operators are shown of what was written down. */
export function makeReport (
  { steps, visits }: { steps: LoginStepRecord[], visits: LoginVisitRecord[] },
  context: VerdictContext
): AttemptsReport {
  return {
    at: formatTime(context.now),
    publicUrl: context.publicUrl,
    loginHost: context.loginHost,
    upstreamMode: context.dynamic ? 'dynamic' : 'static',
    attempts: groupSteps(steps).slice(0, MAX_SHOWN).map(attempt => {
      const { clientId: id, clientName: name, clientKind: kind, redirectHost } = attempt
      return {
        client: {
          ...id !== undefined && { id },
          ...name !== undefined && { name },
          ...kind !== undefined && { kind: KINDS[kind] }
        },
        ...redirectHost !== undefined && { redirectHost },
        steps: attempt.steps.map(({ step, at, failure, dropped }) => ({
          name: STEPS[step],
          at: formatTime(at),
          ok: failure === undefined,
          ...dropped !== undefined && { text: `Not taken: ${dropped.join('; ')}` },
          ...failure !== undefined && { text: formatFailure(failure) }
        })),
        verdict: judgeAttempt(attempt, context)
      }
    }),
    visits: groupVisits(visits)
      .map(({ requests, ...program }) => ({
        ...program,
        steps: requests.map(({ request, at, status }) => ({
          name: REQUESTS[request],
          at: formatTime(at),
          ok: status < 400,
          ...status >= 400 && { text: `HTTP ${status}` }
        })),
        verdict: visitVerdict({ ...program, requests }, context)
      }))
      .filter(({ verdict }) => verdict.outcome !== 'good')
      .slice(0, MAX_SHOWN)
  }
}

function formatFailure ({ message, detail }: StepFailure): string {
  return detail === undefined ? message : `${message} ${detail}`
}

function formatTime (ms: number): string {
  return new Date(ms).toISOString()
}
