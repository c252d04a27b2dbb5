/**
 * How something that we depend on fails: `passing`, and a request may succeed in some seconds, or `lasting`, until
 * somebody acts.
 */
export type Outage = 'passing' | 'lasting'

// of another version, or another server than the one that is meant: not what a restart or a load balancer sends
const LASTING_STATUSES: ReadonlySet<number> = new Set([501, 505, 506, 508, 510, 511, 525, 526])
// RFC 9110 15.5.9; RFC 8470 5.2; RFC 6585 4: what was sent was not looked at
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429])
// getaddrinfo says EAI_AGAIN if the name servers do not respond. The rest: TLS, and what does not speak HTTP.
const LASTING_CODE = new RegExp(
  '^(?:ENOTFOUND|ENODATA|EAI_NONAME|EPROTO|EACCES|HOSTNAME_MISMATCH|PATH_LENGTH_EXCEEDED|INVALID_(?:CA|PURPOSE)|' +
    'UNABLE_TO_.*|(?:.*_)?(?:CERT|CRL)(?:_.*)?|ERR_(?:SSL|TLS)_.*|ERR_INVALID_URL|HPE_.*)$'
)
const PASSING_CODE = /^(?:EAI_AGAIN|ECONN.*|ETIMEDOUT|EPIPE|E(?:HOST|NET).*|ERR_TLS_HANDSHAKE_TIMEOUT|UND_.*)$/

/** What a status says of its server; undefined if it is not an outage. */
export function findOutageOfStatus (status: number): Outage | undefined {
  if (LASTING_STATUSES.has(status)) return 'lasting'
  return status >= 500 || PASSING_STATUSES.has(status) ? 'passing' : undefined
}

/** What the code of a failed connection says, or of what caused it; undefined if there is none that is known. */
export function findOutageOfConnection (error: unknown): Outage | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? String(error.code) : ''
  if (PASSING_CODE.test(code)) return 'passing'
  return LASTING_CODE.test(code) ? 'lasting' : findOutageOfConnection(error.cause)
}
