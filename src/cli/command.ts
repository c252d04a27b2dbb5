/** What a command of the command line has of the process. */
export interface CommandIo {
  env: NodeJS.ProcessEnv
  /** Prints to the standard output. */
  write: (text: string) => void
}

/** Runs a command with its arguments. @returns the exit code: 0 where all is well, 1 where it is not, 2 where it was called wrongly */
export type Command = (args: string[], io: CommandIo) => Promise<number>
