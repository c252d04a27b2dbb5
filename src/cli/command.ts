/** What a command of the command line has of the process. */
export interface CommandIo {
  env: NodeJS.ProcessEnv
  /** Prints to the standard output. */
  write: (text: string) => void
}

/** Runs a command with its arguments. @returns the exit code: 0 all is well, 1 it is not, 2 the arguments are wrong */
export type Command = (args: string[], io: CommandIo) => Promise<number>
