import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { RequestLease } from '../admission/request-lease.js'
import { subscribedBy } from '../server-events/may-subscribe.js'
import type { ModernCall } from './modern-call.js'

const GIVES_WAY = 'This stream has ended, so that others have room for theirs.'

/** What a POST holds. */
export interface AdmittedCall {
  /** Of the request; undefined if it listens. */
  lease?: RequestLease
  release (): void
}

/**
 * Takes what a POST of revision 2026-07-28 holds until its response is over: `subscriptions/listen` a stream and what
 * it subscribes to; everything else a server instance, and its share of the requests in flight.
 * @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing
 */
export function admitModernCall (admission: Admission, call: ModernCall): AdmittedCall {
  const { person } = call
  if (call.message !== undefined && call.listens) return admitListener(admission, call, call.message)
  const place: Holder = { person, state: 'busy', giveWay () {} }
  admission.takeInstance(place)
  try {
    const lease = admission.takeRequests(person, call.message === undefined ? [] : [call.message])
    return {
      lease,
      release () {
        lease.release()
        admission.freeInstance(place)
      }
    }
  } catch (error) {
    admission.freeInstance(place)
    throw error
  }
}

function admitListener (admission: Admission, call: ModernCall, message: JSONRPCRequest): AdmittedCall {
  const { person } = call
  const subscription = admission.subscribe(person, subscribedBy(message))
  const place: Holder = { person, state: 'lasting', giveWay: () => { call.end(GIVES_WAY) } }
  try {
    admission.takeStream(place)
  } catch (error) {
    subscription.release()
    throw error
  }
  return {
    release () {
      subscription.release()
      admission.freeStream(place)
    }
  }
}
