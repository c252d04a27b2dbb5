/** What a child answers to its parent, by name. */
export type Calls = Record<string, (argument: never) => unknown>

/** The parent asks. */
export interface Call { call: number, name: string, argument: unknown }

/** The child answers. */
export interface CallAnswer { call: number, result?: unknown, error?: string }

/** Lets the parent call, over the channel that it was spawned with; ends with it. */
export function answerCalls (calls: Calls): void {
  const send = (answer: CallAnswer) => { process.send?.(answer) }
  const answer = async ({ call, name, argument }: Call): Promise<CallAnswer> => {
    try {
      return { call, result: await calls[name]?.(argument as never) }
    } catch (error) {
      return { call, error: error instanceof Error ? String(error.stack) : String(error) }
    }
  }
  process.on('message', (call: Call) => { void answer(call).then(send) })
  process.on('disconnect', () => process.exit())
}
