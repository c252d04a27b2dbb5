import { InvalidClientError, passesIn, TemporarilyUnavailableError, type FailureReason } from '../../errors.js'

/** What is fetched from URLs that strangers name. */
export interface PublicJsonKind {
  /** For messages: "The … of the client". */
  name: string
  /** The largest body that is read, unless the options say otherwise. */
  maxBytes: number
  /** Whether its content type must be JSON. */
  checkType: boolean
  /** Why a login fails if its host says that there is none. */
  gone: FailureReason
  /** Why a login fails if it cannot be used for another reason; absent: only the detail says so. */
  unusable?: FailureReason
  /** Why a login fails if it cannot be read at the moment. */
  unreachable: FailureReason
}

/** How long a host that could not be reached is not tried again. */
export const UNREACHABLE_SECONDS = 30

/** Makes the errors of one kind. One public message for every reason, or they would map our network for any caller. */
export class Refusals {
  readonly #kind: PublicJsonKind

  constructor (kind: PublicJsonKind) {
    this.#kind = kind
  }

  refusal (detail: string, cause?: unknown): InvalidClientError {
    const { name, unusable } = this.#kind
    return new InvalidClientError(`The ${name} of the client cannot be used.`, {
      detail,
      cause,
      ...unusable !== undefined && { reason: unusable }
    })
  }

  /** The host says that there is none. */
  gone (detail: string): InvalidClientError {
    const { name, gone: reason } = this.#kind
    return new InvalidClientError(`The ${name} of the client cannot be used.`, { detail, reason })
  }

  /** The host may respond differently soon. */
  outage (detail: string, cause?: unknown, seconds = UNREACHABLE_SECONDS): TemporarilyUnavailableError {
    const { name, unreachable: reason } = this.#kind
    return new TemporarilyUnavailableError(
      ...passesIn(seconds, `The ${name} of the client cannot be read.`, { detail, cause, reason })
    )
  }

  /** The host fails until its operator acts, by its certificate for one. What was good last is still used. */
  broken (detail: string, cause?: unknown): InvalidClientError {
    const { name, unreachable: reason } = this.#kind
    return new InvalidClientError(`The ${name} of the client cannot be used.`, { detail, cause, reason })
  }
}
