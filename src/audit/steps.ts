import { ServiceError } from '../errors.js'
import { getMember } from '../members.js'
import type { BrokerEvent } from '../oauth/login-events.js'
import { categorize, type AuditAction, type EventFacts } from './event.js'
import { describeGrantFacts, describePerson, toMembers, writeHttp } from './facts.js'
import { shown } from './shown.js'

interface Described {
  /** Of `categorize`. */
  categories: string
  event: EventFacts
  /** JSON text of further members. */
  facts: string
}

const LOGIN = categorize('authentication', 'info')
const LOGGED_IN = categorize('authentication', 'start')
const CREATED = categorize('iam', 'creation')
const ENDED = categorize('iam', 'deletion')
const CHANGED = categorize('iam', 'change')

type StepType = BrokerEvent['type']
type Kind = readonly [string, AuditAction]

/** What the steps of a login are in the record. Calls are recorded when they run, and bad tokens when refused. */
const STEPS: Readonly<Record<Exclude<StepType, 'token' | 'call'>, Kind>> = {
  registration: [CREATED, 'client-registration'],
  authorization: [LOGIN, 'authorization-request'],
  consent: [LOGIN, 'consent'],
  upstream: [LOGIN, 'login'],
  callback: [LOGGED_IN, 'login'],
  refresh: [CHANGED, 'upstream-refresh'],
  grant_ended: [ENDED, 'grant-ended']
}

/** The events of a step of a login: none, if nobody needs to know of it. */
export function describeStep (step: BrokerEvent): Described[] {
  // sending people to the login server is nothing that anybody did
  if (step.type === 'call' || (step.type === 'upstream' && step.error === undefined)) return []
  const facts = describeFacts(step)
  const about = ([categories, action]: Kind, reason?: string): Described => ({
    categories,
    event: { action, ...describeOutcome(step.error), ...reason !== undefined && { reason } },
    facts
  })
  if (step.type === 'token') {
    return step.grantType === 'refresh_token'
      ? [about([CHANGED, 'token-refresh'], step.repeated === true ? 'repeated' : undefined)]
      : [about([CREATED, 'token-issue'])]
  }
  if (step.type === 'grant_ended') return [about(STEPS.grant_ended, step.cause)]
  const isGranted = (step.type === 'consent' || step.type === 'callback') &&
    step.grant !== undefined && step.error === undefined
  return [about(STEPS[step.type]), ...isGranted ? [about([CREATED, 'grant-created'])] : []]
}

function describeOutcome (error: unknown): Pick<EventFacts, 'outcome' | 'reason'> {
  if (error === undefined) return { outcome: 'success' }
  return { outcome: 'failure', reason: error instanceof ServiceError ? error.reason ?? error.code : 'server_error' }
}

function describeFacts (step: BrokerEvent): string {
  const { error, grant, person, http } = step
  const client = describeClient(step)
  const granted = grant && describeGrantFacts(grant)
  const facts = {
    ...person && describePerson(person),
    ...granted,
    oauth: {
      ...granted?.oauth,
      ...client !== undefined && { client },
      ...step.type === 'token' && step.grantType !== undefined && { grant_type: shown(step.grantType) }
    },
    ...error !== undefined && { error: { code: error instanceof ServiceError ? error.code : 'server_error' } }
  }
  return toMembers(facts) + writeHttp(http)
}

function describeClient (step: BrokerEvent): { id: string, name?: string } | undefined {
  const known = 'client' in step ? step.client : undefined
  const given = 'clientId' in step ? step.clientId : undefined
  const id = known?.clientId ?? given
  const name = readName(known?.metadata ?? ('metadata' in step ? step.metadata : undefined))
  if (id === undefined && name === undefined) return undefined
  return { id: shown((id ?? '').replace(/[?#].*/s, '')), ...name !== undefined && { name: shown(name) } }
}

function readName (metadata: unknown): string | undefined {
  const name = getMember(metadata, 'client_name')
  return typeof name === 'string' ? name : undefined
}
