import type { JSONRPCMessage, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { SdkServer } from '../sdk-servers.js'
import { demandsScopes, findToolScopes } from '../scopes/required-scopes.js'
import type { TaskTools } from './task-tools.js'
import { isObject } from '../../members.js'
import type { MessageExtra } from '../transport/message-extra.js'

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
  readonly #isGuarded: boolean
  /** Requests that may make a task, or list them. */
  readonly #running = new Map<RequestId, { tool: string } | { scopes: readonly string[] }>()
  #server: SdkServer | undefined

  /** @param isGuarded whether it matters which tool made a task, also if the server demands no scopes */
  constructor (tools: TaskTools, whose: TaskHolder, isGuarded = false) {
    this.#tools = tools
    this.#whose = whose
    this.#isGuarded = isGuarded
  }

  /** Sets the server that makes them. */
  madeBy (server: SdkServer): void {
    this.#server = server
  }

  /** The tool that made a task; undefined if that is unknown. */
  findTool (taskId: string): string | undefined {
    return this.#tools.findTool({ ...this.#whose, taskId })
  }

  /** Notes a request that the server gets. */
  asked ({ id, method, params }: JSONRPCRequest, { authInfo }: MessageExtra): void {
    if (method === 'tools/call') {
      const matters = this.#isGuarded || demandsScopes(this.#server)
      if (typeof params?.name === 'string' && matters) this.#running.set(id, { tool: params.name })
    } else if (method === 'tasks/list') this.#running.set(id, { scopes: authInfo?.scopes ?? [] })
  }

  /** Notes that the server will not respond to a request. */
  cancelled (id: RequestId): void {
    this.#running.delete(id)
  }

  /** Notes a response. @returns it, without the tasks that the caller may not ask for */
  answered<T extends JSONRPCMessage> (response: T): T {
    if ('method' in response || response.id === undefined) return response
    const running = this.#running.get(response.id)
    if (running === undefined) return response
    this.#running.delete(response.id)
    if (!('result' in response)) return response
    if ('scopes' in running) return { ...response, result: this.#visible(response.result, running.scopes) }
    const { task } = response.result
    if (isObject(task) && typeof task.taskId === 'string') {
      this.#tools.begun({ ...this.#whose, taskId: task.taskId, tool: running.tool })
    }
    return response
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
