import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import type { SdkServer } from '../sdk-servers.js'
import { demandsScopes, findToolScopes } from '../scopes/required-scopes.js'
import type { TaskTools } from './task-tools.js'
import { isObject } from '../../members.js'
import type { JsonRpcResponse } from '../wire/messages.js'

type Result = Record<string, unknown>

/** Whose tasks they are: a person's, under what the server sees as session id. */
export interface TaskHolder {
  person: string
  holder: string
}

/** The tasks that one holder's server instance makes, shows and lists. */
export class OwnTasks {
  readonly #tools: TaskTools
  readonly #whose: TaskHolder
  #server: SdkServer | undefined

  constructor (tools: TaskTools, whose: TaskHolder) {
    this.#tools = tools
    this.#whose = whose
  }

  /** Sets the server that makes them. */
  madeBy (server: SdkServer): void {
    this.#server = server
  }

  /** The tool that made a task; undefined if that is unknown. */
  findTool (taskId: string): string | undefined {
    return this.#tools.findTool({ ...this.#whose, taskId })
  }

  /** Whether scopes make it matter what the response to a request says of tasks. */
  concerns ({ method }: JSONRPCRequest): boolean {
    return method === 'tasks/list' || (method === 'tools/call' && demandsScopes(this.#server))
  }

  /** Notes a response to a request. @returns it, without the tasks that the caller may not ask for */
  answered (request: JSONRPCRequest, caller: CallerInfo | undefined, response: JsonRpcResponse): JsonRpcResponse {
    if (!('result' in response)) return response
    const { result } = response
    if (request.method === 'tasks/list') return { ...response, result: this.#visible(result, caller?.scopes ?? []) }
    if (request.method === 'tools/call') this.#noteTask(request.params?.name, result.task)
    return response
  }

  #noteTask (tool: unknown, task: unknown): void {
    if (typeof tool !== 'string' || !isObject(task) || typeof task.taskId !== 'string') return
    this.#tools.begun({ ...this.#whose, taskId: task.taskId, tool })
  }

  #visible (result: Result, scopes: readonly string[]): Result {
    if (!Array.isArray(result.tasks)) return result
    return {
      ...result,
      tasks: result.tasks.filter((task: unknown) => this.#needed(task).every(scope => scopes.includes(scope)))
    }
  }

  #needed (task: unknown): readonly string[] {
    return findToolScopes(
      this.#server,
      isObject(task) && typeof task.taskId === 'string' ? this.findTool(task.taskId) : undefined
    )
  }
}
