/**
 * Bounds of the processes of one stdio server.
 * @example
 * ```ts
 * import type { StdioLimits } from 'fastify-mcp-oauth'
 *
 * export const limits: Partial<StdioLimits> = { maxProcesses: 20, maxMemoryBytes: 268_435_456 }
 * ```
 */
export interface StdioLimits {
  /** Processes in all. Default: 100. */
  maxProcesses: number
  /** Processes of one person. Default: 10. */
  maxProcessesPerPerson: number
  /** Bytes of resident memory of a process and those it has started; needs `/proc`. Default: 1 GiB. */
  maxMemoryBytes: number
  /** Time until `initialize` must be answered. Default: 60, for launchers that download first. */
  startSeconds: number
  /** Time that a process stays without anybody to serve. Default: 600; with `per: 'session'` 3600. */
  idleSeconds: number
  /** Bytes of one message of the server. Default: 10 MiB. */
  maxMessageBytes: number
  /** Bytes of messages that wait because the server does not read. Default: 16 MiB. */
  maxUnreadBytes: number
  /** Time from SIGTERM, half a second after its input has ended, to SIGKILL. Default: 3. */
  graceSeconds: number
}

/**
 * An MCP server that speaks over its standard input and output.
 * @example
 * ```ts
 * import type { StdioServerOptions } from 'fastify-mcp-oauth'
 *
 * export const notes: StdioServerOptions = {
 *   command: 'uvx',
 *   args: ['notes-server', '--user', '${claims.email}'],
 *   env: { NOTES_TOKEN: '${upstreamAccessToken}' },
 *   limits: { maxProcesses: 50 }
 * }
 * ```
 */
export interface StdioServerOptions {
  /** The program: a path, or a name that is looked up in `PATH`. No shell runs it. */
  command: string
  /** Its arguments; may have templates. */
  args?: readonly string[] | undefined
  /**
   * Its environment, besides `PATH`, `HOME` and the few others that every program needs; may have templates:
   * `${claims.email}` (any claim), `${subject}`, `${issuer}`, `${personId}` (a hash of both, safe in a file's name),
   * and `${upstreamAccessToken}`.
   */
  env?: Readonly<Record<string, string>> | undefined
  /** Names of variables of this process that it gets too. */
  inheritEnv?: readonly string[] | undefined
  /** Where it runs. With `${personId}`, the folder is made for each person. */
  cwd?: string | undefined
  /**
   * Who shares a process: all sessions of a person; one session; or everybody, which is for servers that keep nothing
   * of anybody. Default: `person`.
   */
  per?: 'person' | 'session' | 'shared' | undefined
  /** With `per: 'session'`: whether a session continues, with a new process, if its own has ended. Default: false. */
  restart?: boolean | undefined
  /**
   * Whether it learns the roots of its clients. They are folders of the client's machine: a server that takes them for
   * folders of its own opens this machine's files to callers. Default: false.
   */
  roots?: boolean | undefined
  /** Bounds of its processes, each with a default of its own. */
  limits?: Partial<StdioLimits> | undefined
}
