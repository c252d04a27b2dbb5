import type { BrokerLog } from '../log.js'
import { ConfigError } from '../errors.js'
import { describeChanges } from '../policy/changes.js'
import { findDeadRules } from '../policy/dead-rules.js'
import { formatPosition } from '../policy/file/faults.js'
import type { PolicyFile } from '../policy/file/parse.js'
import { Policy } from '../policy/policy.js'
import type { PolicyRules } from '../policy/rules.js'
import { findFileState, findFileStateNow, readPolicyFile, type FileState } from './policy-file.js'

/**
 * How often the file is looked at. A look is one `stat`: it sees what a watch does not, on network file systems, behind
 * symbolic links and after a rename.
 */
const POLL_MS = 1000

interface PolicySettings {
  /** The path of the policy file, if there is one. */
  policyFile: string | undefined
  /** The rules of the environment, if there are any. */
  policy?: PolicyRules | undefined
  mcpScopes: readonly string[]
  /** Tokens with which clients may register. Absent: it does not matter here. */
  initialAccessTokens?: readonly string[]
}

/** The policy of the service, from the environment and a file that is read again when it changes. */
export class ConfiguredPolicy {
  readonly policy: Policy
  readonly #settings: PolicySettings & { policyFile: string }
  #file: PolicyFile
  /** That of what was read last, good or bad. */
  #state: FileState
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** @throws {ConfigError} with one line that names file, line and column */
  constructor (settings: PolicySettings & { policyFile: string }) {
    this.#settings = settings
    this.#state = findFileStateNow(settings.policyFile)
    this.#file = readFile(settings)
    this.policy = new Policy(joinRules(settings.policy, this.#file.rules))
  }

  /** Where the file is. */
  get path (): string {
    return this.#settings.policyFile
  }

  /** Reads the file again. A bad one changes nothing: the last good rules stay in force, and the log says why. */
  reload (log: BrokerLog): void {
    const { policyFile, policy } = this.#settings
    // before the file is read: what changes after that is seen at the next look
    this.#state = findFileStateNow(policyFile)
    try {
      const file = readFile(this.#settings)
      const changes = describeChanges(this.#file.rules, file.rules)
      this.#file = file
      if (changes.length > 0) this.policy.replace(joinRules(policy, file.rules))
      log.info({ file: policyFile, changes }, `the policy file was read: ${changes.join(', ') || 'nothing changed'}`)
      if (changes.length > 0) this.warn(log)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      log.error({ file: policyFile }, `the policy file is not used, the rules before it stay: ${error.message}`)
    }
  }

  /** Says which rules can never match. */
  warn (log: BrokerLog): void {
    for (const { at, says } of findDeadRules(this.policy.rules, this.#settings.mcpScopes)) {
      log.warn({ rule: at.join('.'), place: this.locate(at) }, `policy: ${says}`)
    }
  }

  /** Where a rule of the file stands: `policy.yaml:12:5`. */
  locate (at: readonly string[]): string {
    return formatPosition(this.#file.name, this.#file.locate(at))
  }

  /** Reads the file when it has changed, until `close`. */
  watch (log: BrokerLog, pollMs = POLL_MS): void {
    clearInterval(this.#timer)
    let seen: FileState = this.#state
    let isLooking = false
    const look = async () => {
      const state = await findFileState(this.#settings.policyFile)
      // what has just changed may not be written to its end
      if (!this.#isClosed && state === seen && state !== this.#state) this.reload(log)
      seen = state
    }
    this.#timer = setInterval(() => {
      if (isLooking) return
      isLooking = true
      look().catch((err: unknown) => { log.error({ err }, 'the policy file cannot be watched') })
        .finally(() => { isLooking = false })
    }, pollMs).unref()
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#timer)
  }
}

/**
 * The policy of a service; undefined if nothing is configured.
 * @throws {ConfigError} with one line
 */
export function configurePolicy (settings: PolicySettings): ConfiguredPolicy | undefined {
  const { policyFile } = settings
  return policyFile === undefined ? undefined : new ConfiguredPolicy({ ...settings, policyFile })
}

/** @throws {ConfigError} with one line that names file, line and column */
function readFile (settings: PolicySettings & { policyFile: string }): PolicyFile {
  const { policyFile, mcpScopes, initialAccessTokens } = settings
  const file = readPolicyFile(policyFile, mcpScopes)
  if (file.rules.clients?.registration === 'token' && initialAccessTokens?.length === 0) {
    const place = formatPosition(file.name, file.locate(['clients', 'registration']))
    throw new ConfigError(`${place}: clients.registration is token, which needs INITIAL_ACCESS_TOKENS.`)
  }
  return file
}

/** Rules of the environment and of a file: who may log in by both, other rules by the file if both have them. */
export function joinRules (environment: PolicyRules | undefined, file: PolicyRules): PolicyRules {
  if (environment === undefined) return file
  const login = [environment.login ?? [], file.login ?? []].flat()
  const limits = { ...environment.limits, ...file.limits }
  const clients = { ...environment.clients, ...file.clients }
  return {
    ...environment,
    ...file,
    ...login.length > 0 && { login },
    ...(environment.trustEmails === true || file.trustEmails === true) && { trustEmails: true },
    ...Object.keys(limits).length > 0 && { limits },
    ...Object.keys(clients).length > 0 && { clients }
  }
}
