import type { Log } from '../../log.js'
import type { Era } from '../../mcp/wire/protocol-versions.js'
import type { StdioLimits } from './options/options.js'
import type { Command } from './process/server-process.js'
import type { KnownEras } from './program.js'

/** Requests of one server that wait for its clients. */
export const MAX_ASKED = 1000

/** What a process is started with, and whom its end and use concern. */
export interface SharedServerOptions {
  command: Command
  limits: StdioLimits
  /** Of those whom it serves. */
  era: Era
  known: KnownEras
  /** Whether several people share it: then it may ask nobody, and what belongs to no call reaches nobody. */
  isForAll: boolean
  log: Log
  /** @param hasFailed whether it has ended by itself; `hasBegun`: whether it has answered `initialize` */
  onEnded (end: { hasFailed: boolean, hasBegun: boolean }): void
  /** Somebody has come, or the last one has left. */
  onUse (): void
}
