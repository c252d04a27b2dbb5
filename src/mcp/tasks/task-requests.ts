import { RELATED_TASK_META_KEY, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'

const NONE: readonly string[] = []

/** The ids of the tasks that a request asks for, or belongs to. */
export function findTaskIds ({ method, params }: JSONRPCRequest): readonly string[] {
  const related: unknown = params?._meta?.[RELATED_TASK_META_KEY]
  if (related === undefined && !method.startsWith('tasks/')) return NONE
  const ids = [method.startsWith('tasks/') ? params?.taskId : undefined, isObject(related) ? related.taskId : undefined]
  // one that is not a text is of no task that is known
  return ids.filter(id => id !== undefined).map(id => typeof id === 'string' ? id : '')
}
