const PROXY = 'The proxy cannot reach the service: look at its address there, and at HOST and PORT here.'

const OF_STATUS: Readonly<Record<number, string>> = {
  429: 'The service limits requests: wait a minute, and run the doctor again.',
  502: PROXY,
  503: 'The service, or all replicas, cannot serve at the moment: /readyz and the log name what they cannot reach, ' +
    'such as Redis.',
  504: PROXY
}

/** What to do if the service answers that it cannot do it now; undefined if the status says something else. */
export function adviseOnOutage (status: number): string | undefined {
  return OF_STATUS[status] ?? (status >= 500 ? 'The service failed: its log says why.' : undefined)
}

/** What to do about an answer: `otherwise`, unless it says that the service cannot do it now. */
export function advise (status: number, otherwise: string): string {
  return adviseOnOutage(status) ?? otherwise
}

/** Whether an upstream's answer says that it cannot do it now, whatever we are there. */
export function isOutage (status: number): boolean {
  return status === 429 || status >= 500
}

/** What to do if the upstream has an outage. */
export const UPSTREAM_OUTAGE = 'The upstream has an outage, or cannot be reached from here. Nothing needs to be ' +
  'changed in its settings for that: run the doctor again once it is back.'
