import type { Test } from 'tap'
import type { ReceivedRequest } from '../../../src/testing/index.js'
import type { Recipe } from './recipe.js'

/** An endpoint that we ask ourselves; the browser is not concerned. */
export type BackChannel = 'discovery' | 'register' | 'par' | 'token' | 'userinfo' | 'groups' | 'revoke'

/** What a login server was asked by us, in order, with the status of its response. */
export class AskedRequests {
  readonly #answered: Array<{ channel: BackChannel, status: number | undefined }> = []
  readonly #waiting = new Map<BackChannel, (status: number | undefined) => void>()

  /** @param status undefined if there was no response */
  add (channel: BackChannel, status?: number): void {
    this.#answered.push({ channel, status })
    this.#waiting.get(channel)?.(status)
  }

  get channels (): Set<BackChannel> {
    return new Set(this.#answered.map(({ channel }) => channel))
  }

  count (asked: BackChannel): number {
    return this.#answered.filter(({ channel }) => channel === asked).length
  }

  /** The status of the first response, as soon as there is one. */
  async first (asked: BackChannel): Promise<number | undefined> {
    const found = this.#answered.find(({ channel }) => channel === asked)
    return found === undefined
      ? await new Promise(resolve => { this.#waiting.set(asked, resolve) })
      : found.status
  }

  clear (): void {
    this.#answered.length = 0
  }
}

/** A login server of the list: real, or in the shape that its documentation gives it. */
export interface LoginServer {
  name: string
  /** What was run: a version, or that its documentation was followed. */
  run: string
  recipe: Recipe
  /** Of the person who logs in as alice. */
  subject: string
  /** Whether its logins last longer than its access tokens. */
  refreshes: boolean
  revokes: boolean
  /** Whether it issues ID tokens that the test can make wrong: not by a real one. */
  forges: boolean
  /** Whether nobody knows who logged in without its userinfo. */
  needsUserinfo: boolean
  /** Whether the one setting that the operator can get wrong, the secret, is used. */
  hasSecret: boolean
  start (t: Test): Promise<RunningLoginServer>
}

/** A login server in this process. */
export interface RunningLoginServer {
  /** The way to it, for the browser and for us. */
  fetch: typeof fetch
  /** What the recipe is filled in with: what stands in it as …, and words such as YOUR_REALM. */
  values: Readonly<Record<string, string>>
  /** What we asked it ourselves. */
  asked: AskedRequests
  /** What cannot be reached now. */
  down: Set<BackChannel>
  /** Of its access tokens. */
  lifetimeSeconds: number
  /** Registers the service by hand, if the recipe does. */
  register (callbackUrl: string): void
  /** People press Cancel from now on. */
  cancelLogins (): void
  /** Whoever is logged in no longer is: the next refresh is refused. */
  endLogins (): void
  /** Laid over the claims of ID tokens from now on; undefined leaves one out. */
  forge (claims: Record<string, unknown>): void
  /** Everything as it was. */
  restore (): void
}

/** The last request to an endpoint. */
export function findLast (requests: readonly ReceivedRequest[], endpoint: string): ReceivedRequest | undefined {
  return requests.findLast(request => request.endpoint === endpoint)
}
