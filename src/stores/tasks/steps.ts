import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { TaskOutcome } from './records.js'

/** What an id may look like. */
export const TASK_ID = /^[\w-]{1,64}$/

/** A refusal, with the JSON-RPC code that the SDK responds with. */
export class TaskError extends Error {
  override readonly name = 'TaskError'
  readonly code: number

  constructor (message: string, code: number = jsonRpcCodes.invalidParams) {
    super(message)
    this.code = code
  }
}

/**
 * @param full says what a bound has refused
 * @throws {TaskError} unless the step was done
 */
export function checkStep (taskId: string, outcome: TaskOutcome, full = ''): void {
  if (outcome === 'unknown') throw notFound(taskId)
  if (outcome === 'over') throw new TaskError(`The task ${taskId} has ended, and no longer changes.`)
  if (outcome === 'full') throw new TaskError(full, jsonRpcCodes.serverError)
}

export function notFound (taskId: string): TaskError {
  return new TaskError(`Task not found: ${taskId.slice(0, 64)}`)
}
