import { NotAcceptableError } from '../../errors.js'

/**
 * Checks that a POST may be answered either way, as the specification demands of clients.
 * @throws {NotAcceptableError}
 */
export function checkPostAccept (accept: string | undefined): void {
  if (accept === 'application/json, text/event-stream') return
  if (!accepts(accept, 'application/json') || !accepts(accept, 'text/event-stream')) {
    throw new NotAcceptableError('Not Acceptable: the client must accept both application/json and text/event-stream.')
  }
}

/**
 * Checks that a GET may be answered with a stream.
 * @throws {NotAcceptableError}
 */
export function checkStreamAccept (accept: string | undefined): void {
  if (!accepts(accept, 'text/event-stream')) {
    throw new NotAcceptableError('Not Acceptable: the client must accept text/event-stream.')
  }
}

/** Whether a client says that it reads streams. */
export function acceptsStream (accept: string | string[] | undefined): boolean {
  return accept === 'application/json, text/event-stream' || accepts(accept?.toString(), 'text/event-stream')
}

function accepts (accept: string | undefined, mediaType: string): boolean {
  if (accept === undefined) return false
  const group = `${mediaType.split('/')[0]}/*`
  return accept.split(',').some(range => {
    const [type, ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    return (type === mediaType || type === group || type === '*/*') &&
      !parameters.some(parameter => /^q=0(\.0*)?$/.test(parameter))
  })
}
