/** Where a command writes, and what it may read. */
export interface CommandIo {
  out (text: string): void
  err (text: string): void
  env: Readonly<Record<string, string | undefined>>
}

/** A command of `fastify-mcp-oauth`. */
export interface Command {
  /** One line: how it is called, and what it does. */
  usage: string
  /** @returns the exit code: 0 it did it, 1 it could not, 2 it was called in the wrong way */
  run (args: string[], io: CommandIo): Promise<number>
}
