import type { BrokerLog } from '../log.js'
import { Policy } from '../policy/policy.js'
import { configurePolicy, ConfiguredPolicy, joinRules } from './configured-policy.js'
import type { Config } from './config.js'

/** The policies of a service: that of the environment and POLICY_FILE, and those that servers of SERVERS_FILE have. */
export class ConfiguredPolicies {
  readonly #scopes: readonly string[]
  readonly #servers: NonNullable<Config['servers']>
  /** That of the service; undefined: everybody whom the login server lets in may use everything. */
  readonly common: Policy | undefined
  readonly #common: ConfiguredPolicy | undefined
  readonly #own = new Map<string, ConfiguredPolicy | Policy>()

  /** @throws {ConfigError} with one line that names file, line and column */
  constructor (config: Pick<Config, 'policy' | 'policyFile' | 'mcpScopes' | 'servers' | 'initialAccessTokens'>) {
    const { servers = [], policy: rules } = config
    const mcpScopes = [...new Set([...config.mcpScopes, ...servers.flatMap(({ scopes }) => scopes)])]
    this.#servers = servers
    this.#scopes = mcpScopes
    this.#common = configurePolicy({ ...config, mcpScopes })
    this.common = this.#common?.policy ?? (rules && new Policy(rules))
    for (const { name, policy, scopes } of servers) {
      if (policy === undefined) continue
      const own = 'file' in policy
        ? new ConfiguredPolicy({ policyFile: policy.file, policy: rules, mcpScopes: scopes })
        : new Policy(joinRules(rules, policy.rules))
      this.#own.set(name, own)
    }
  }

  /** That of a server, by its name: its own, or that of the service. */
  find (server: string): Policy | undefined {
    const own = this.#own.get(server)
    return (own instanceof ConfiguredPolicy ? own.policy : own) ?? this.common
  }

  /** Each policy, with the scopes that it may name, and where its rules stand. */
  list (): Array<{ policy: Policy, scopes: readonly string[], locate: (at: readonly string[]) => string }> {
    const common = this.common && {
      policy: this.common,
      scopes: this.#scopes,
      locate: (at: readonly string[]) => this.#common?.locate(at) ?? 'the environment'
    }
    const own = this.#servers.flatMap(({ name, scopes }) => {
      const configured = this.#own.get(name)
      if (configured === undefined) return []
      if (configured instanceof Policy) return [{ policy: configured, scopes, locate: () => `the policy of ${name}` }]
      return [{ policy: configured.policy, scopes, locate: (at: readonly string[]) => configured.locate(at) }]
    })
    return [...common === undefined ? [] : [common], ...own]
  }

  /** Whether there is a file that may change. */
  get hasFiles (): boolean {
    return this.#files.length > 0
  }

  /** Reads all files again. */
  reload (log: BrokerLog): void {
    for (const file of this.#files) file.reload(log)
  }

  /** Says which rules can never match, and reads each file again when it has changed, until `close`. */
  watch (log: BrokerLog): void {
    for (const file of this.#files) {
      file.warn(log)
      file.watch(log)
    }
  }

  close (): void {
    for (const file of this.#files) file.close()
  }

  get #files (): ConfiguredPolicy[] {
    return [this.#common, ...this.#own.values()].filter(policy => policy instanceof ConfiguredPolicy)
  }
}
