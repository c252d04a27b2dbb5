import type { Result } from 'ioredis'
import { RESULT_TOO_LARGE, type TaskOutcome } from '../../tasks/records.js'
import { keyTail } from '../keys.js'

/** The fields of a task's hash, in the order of `FIELDS`; `number` counts its holder's tasks. */
export type TaskFields = Array<string | null>

declare module 'ioredis' {
  interface RedisCommander<Context> {
    mcpCreateTask(
      tasks: string,
      id: string,
      ttl: number,
      pollInterval: number,
      max: number,
      ...runner: string[]
    ): Result<TaskFields | null, Context>
    mcpChangeTask(
      tasks: string,
      id: string,
      maxBytes: number,
      status: string,
      ...messageAndResult: string[]
    ): Result<TaskOutcome, Context>
    mcpListTasks(tasks: string, after: number, most: number): Result<TaskFields[], Context>
    mcpEnqueueTaskMessage(
      tasks: string,
      id: string,
      maxBytes: number,
      maxMessages: number,
      message: string
    ): Result<TaskOutcome, Context>
    mcpDequeueTaskMessages(tasks: string, id: string, ...prefix: string[]): Result<string[], Context>
    mcpForgetTasks(tasks: string): Result<number, Context>
  }
}

export const TASK_FIELDS = [
  'id', 'number', 'status', 'ttl', 'pollInterval', 'createdAt', 'lastUpdatedAt', 'statusMessage', 'runner'
] as const

// KEYS: the holder's tasks, in the order of creation. ARGV: a task's id, …
const TASKS = `
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  local function keyOf (id) return KEYS[1] .. '${keyTail('tasks', 'task')}' .. id end
  local function messagesOf (id) return KEYS[1] .. '${keyTail('tasks', 'taskMessages')}' .. id end
  local function read (id)
    return redis.call('HMGET', keyOf(id), ${TASK_FIELDS.map(field => `'${field}'`).join(', ')})
  end
  -- how many there are, and bytes of what they hold; forgets those that have expired
  local function sum ()
    local count, bytes = 0, 0
    for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
      local size = redis.call('HGET', keyOf(id), 'bytes')
      if size then
        count, bytes = count + 1, bytes + size
      else
        redis.call('ZREM', KEYS[1], id)
      end
    end
    return count, bytes
  end
  local function keep (id, ttl)
    redis.call('PEXPIRE', keyOf(id), ttl)
    redis.call('PEXPIRE', messagesOf(id), ttl)
    if redis.call('PTTL', KEYS[1]) < tonumber(ttl) then redis.call('PEXPIRE', KEYS[1], ttl) end
  end`

/** The steps of `RedisTaskRecords`, each atomic. */
export const taskScripts = {
  mcpCreateTask: {
    numberOfKeys: 1,
    lua: `${TASKS}
      if sum() >= tonumber(ARGV[4]) then return nil end
      local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
      local number = string.format('%.0f', math.max((last[2] or 0) + 1, tonumber(now)))
      redis.call('ZADD', KEYS[1], number, ARGV[1])
      redis.call('HSET', keyOf(ARGV[1]), 'id', ARGV[1], 'number', number, 'status', 'working', 'ttl', ARGV[2],
        'pollInterval', ARGV[3], 'createdAt', now, 'lastUpdatedAt', now, 'bytes', 0)
      if ARGV[5] then redis.call('HSET', keyOf(ARGV[1]), 'runner', ARGV[5]) end
      keep(ARGV[1], ARGV[2])
      return read(ARGV[1])`
  },
  mcpChangeTask: {
    numberOfKeys: 1,
    lua: `${TASKS}
      local key, result, outcome = keyOf(ARGV[1]), ARGV[5], 'done'
      local fields = redis.call('HMGET', key, 'status', 'ttl')
      if not fields[1] then return 'unknown' end
      local function isOver (status) return status ~= 'working' and status ~= 'input_required' end
      if isOver(fields[1]) then return 'over' end
      local status, message = ARGV[3], ARGV[4]
      if result then
        local _, bytes = sum()
        if bytes + #result > tonumber(ARGV[2]) then
          status, message, outcome = 'failed', '${RESULT_TOO_LARGE}', 'full'
        else
          redis.call('HSET', key, 'result', result)
          redis.call('HINCRBY', key, 'bytes', #result)
        end
      end
      redis.call('HSET', key, 'status', status, 'lastUpdatedAt', now)
      if message and message ~= '' then redis.call('HSET', key, 'statusMessage', message) end
      if isOver(status) then keep(ARGV[1], fields[2]) end
      return outcome`
  },
  mcpListTasks: {
    numberOfKeys: 1,
    lua: `${TASKS}
      local found = {}
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')) do
        local fields = read(id)
        if fields[1] then found[#found + 1] = fields end
        if #found == tonumber(ARGV[2]) then break end
      end
      return found`
  },
  mcpEnqueueTaskMessage: {
    numberOfKeys: 1,
    lua: `${TASKS}
      local key, messages = keyOf(ARGV[1]), messagesOf(ARGV[1])
      local left = redis.call('PTTL', key)
      if left < 0 then return 'unknown' end
      if redis.call('LLEN', messages) >= tonumber(ARGV[3]) then return 'full' end
      local _, bytes = sum()
      if bytes + #ARGV[4] > tonumber(ARGV[2]) then return 'full' end
      redis.call('RPUSH', messages, ARGV[4])
      redis.call('PEXPIRE', messages, left)
      redis.call('HINCRBY', key, 'bytes', #ARGV[4])
      return 'done'`
  },
  mcpDequeueTaskMessages: {
    numberOfKeys: 1,
    lua: `${TASKS}
      local key, messages = keyOf(ARGV[1]), messagesOf(ARGV[1])
      local taken = redis.call('LRANGE', messages, 0, ARGV[2] and 0 or -1)
      local first = taken[1]
      if not first then return taken end
      if ARGV[2] and string.sub(first, 1, 1) == '!' and string.sub(first, 1, #ARGV[2]) ~= ARGV[2] then return {} end
      redis.call('LTRIM', messages, #taken, -1)
      local size = 0
      for _, message in ipairs(taken) do size = size + #message end
      if redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'bytes', -size) end
      return taken`
  },
  mcpForgetTasks: {
    numberOfKeys: 1,
    lua: `${TASKS}
      for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('DEL', keyOf(id), messagesOf(id)) end
      return redis.call('DEL', KEYS[1])`
  }
}
