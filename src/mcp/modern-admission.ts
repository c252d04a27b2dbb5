import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { Admission } from './admission/admission.js'
import { personKey } from './admission/person.js'
import type { Holder } from './admission/places.js'
import type { ModernCall } from './modern-call.js'
import { isObject } from './unknown-value.js'

/**
 * Takes what a POST of revision 2026-07-28 holds until its response is over: `subscriptions/listen` a stream and what it
 * subscribes to; everything else a server instance, and its share of the requests in flight.
 * @returns what gives it back
 * @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing
 */
export function admitModernCall (admission: Admission, call: ModernCall): () => void {
  const person = personKey(call.caller.extra)
  if (call.message !== undefined && call.listens) return admitListener(admission, person, call, call.message)
  const place: Holder = { person, state: 'busy', giveWay () {} }
  admission.takeInstance(place)
  try {
    const lease = admission.takeRequests(person, call.message === undefined ? [] : [call.message])
    return () => {
      lease.release()
      admission.freeInstance(place)
    }
  } catch (error) {
    admission.freeInstance(place)
    throw error
  }
}

function admitListener (admission: Admission, person: string, call: ModernCall, message: JSONRPCRequest): () => void {
  const subscription = admission.subscribe(person, resourcesOf(message))
  const place: Holder = { person, state: 'lasting', giveWay: () => { call.end() } }
  try {
    admission.takeStream(place)
  } catch (error) {
    subscription.release()
    throw error
  }
  return () => {
    subscription.release()
    admission.freeStream(place)
  }
}

/** The resources that a client wants to hear of. */
function resourcesOf ({ params }: JSONRPCRequest): string[] {
  const uris = isObject(params?.notifications) ? params.notifications.resourceSubscriptions : undefined
  return Array.isArray(uris) ? uris.filter(uri => typeof uri === 'string') : []
}
