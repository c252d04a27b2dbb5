import { HostedError, type HostedErrorOptions } from '../../wire/hosted-error.js'

interface RemoteErrorOptions extends HostedErrorOptions {
  /** Of the HTTP response. */
  status?: number
  /** Whether what was read is wrong in itself, so that to read again is of no use. */
  isLasting?: boolean
}

/** The remote server did not respond as it should. */
export class RemoteError extends HostedError {
  readonly status: number | undefined
  readonly isLasting: boolean

  constructor (message: string, { status, isLasting = false, ...options }: RemoteErrorOptions = {}) {
    super(message, options)
    this.name = 'RemoteError'
    this.status = status
    this.isLasting = isLasting
  }
}

/** There was no response: nothing is known of what the remote server speaks. */
export class RemoteUnreachableError extends RemoteError {}

/** It takes what it is sent, and says nothing. */
export class RemoteSilentError extends RemoteUnreachableError {}

/** The remote server does not know its session any longer. */
export class RemoteSessionGoneError extends RemoteError {}
